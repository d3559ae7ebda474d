"""Time limits for databases that do not answer, in every process that installs them.

MLflow sets no limit: a statement waits for ever for a lock, for a server that was stopped, or for a
peer that was cut off without a reset. One of the worker's threads waits as long.
"""

import select
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg2
import sqlalchemy
from psycopg2 import extensions
from sqlalchemy.engine import Engine

# MLflow's clients wait 120 s for an answer (MLFLOW_HTTP_REQUEST_TIMEOUT).
STATEMENT_SECONDS = 100.0
"""How long a statement may take, in seconds, unless :func:`within` says less."""
_LOCK_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
# A peer that acknowledges nothing is given up after some 25 s; Linux would take hours.
_PEER = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_thread = threading.local()


def install() -> None:
    """Limit all connections that this process makes from now on."""
    sqlalchemy.event.listen(Engine, "do_connect", _limit)
    sqlalchemy.event.listen(Engine, "connect", _limit_locks)
    extensions.set_wait_callback(_wait)


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Allow the statements and the new connections of this thread that many seconds."""
    _thread.seconds = seconds
    try:
        yield
    finally:
        del _thread.seconds


def _seconds(most: float = STATEMENT_SECONDS) -> float:
    return min(most, getattr(_thread, "seconds", most))


def _limit(dialect: Any, _: object, __: object, options: dict[str, Any]) -> None:
    limits: dict[str, Any] = {}
    if dialect.driver == "psycopg2":
        limits = _PEER
    elif dialect.driver == "pymysql":
        limits = {
            "connect_timeout": _seconds(_CONNECT_SECONDS),
            "read_timeout": _seconds(),
            "write_timeout": _seconds(),
        }
    for name, value in limits.items():
        # What the database's address says is its owner's will.
        options.setdefault(name, value)


def _limit_locks(connection: Any, _: object) -> None:
    # The server would wait for a lock after its client is gone, and the connection would count.
    # By statements, for PgBouncer refuses an option that it does not know.
    seconds = int(_seconds(_LOCK_SECONDS))
    settings = {
        "psycopg2": (f"SET lock_timeout = '{seconds}s'",),
        "pymysql": (
            f"SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}",
        ),
    }
    driver = type(connection).__module__.partition(".")[0]
    for statement in settings.get(driver, ()):
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
        connection.commit()


def _wait(connection: Any) -> None:
    """Wait for PostgreSQL; psycopg2 closes the connection when this raises."""
    connecting = connection.status == extensions.STATUS_SETUP
    seconds = _seconds(_CONNECT_SECONDS if connecting else STATEMENT_SECONDS)
    deadline = time.monotonic() + seconds
    waiting = select.poll()
    while (state := connection.poll()) != extensions.POLL_OK:
        # While it connects, the socket changes from one of the host's addresses to the next.
        file = connection.fileno()
        waiting.register(file, select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        ready = waiting.poll(max(0.0, deadline - time.monotonic()) * 1000)
        waiting.unregister(file)
        if not ready:
            raise psycopg2.OperationalError(f"the database did not answer within {seconds:.0f} s")
