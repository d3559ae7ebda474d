"""Connections are used again without a question to the database that each use would wait for.

MLflow's engines ask the database before each use of a connection whether it is still there
(`pool_pre_ping`), and SQLAlchemy ends each use on MySQL by a ROLLBACK.
"""

import time
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import sqlalchemy
from sqlalchemy.engine import Engine

# A database that restarts takes longer than this, and then SQLAlchemy opens new connections.
REST_SECONDS = 5.0
"""How long a connection rests until the database is asked before its next use."""
_ENDED = "mlflow_kubernetes.ended"
_known: WeakSet[Engine] = WeakSet()


def install(engine: Engine) -> None:
    """Ask less often on the connections of an engine on PostgreSQL or MySQL."""
    if engine in _known or engine.dialect.name not in ("postgresql", "mysql"):
        return
    _known.add(engine)
    dialect: Any = engine.dialect
    ping = dialect.do_ping
    used: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def note(connection: Any, _: object) -> None:
        # None: the connection was closed.
        if connection is not None:
            used[connection] = time.monotonic()

    def do_ping(connection: Any) -> bool:
        since = used.get(connection)
        rested = since is None or time.monotonic() - since > REST_SECONDS
        return bool(ping(connection)) if rested else True

    sqlalchemy.event.listen(engine, "checkin", note)
    dialect.do_ping = do_ping
    if dialect.driver == "pymysql":
        _end_once(dialect)


def _end_once(dialect: Any) -> None:
    """Send no ROLLBACK after the end of a transaction: PostgreSQL's driver sends none either."""
    begin, commit, roll_back = dialect.do_begin, dialect.do_commit, dialect.do_rollback

    def do_begin(connection: Any) -> None:
        connection.info.pop(_ENDED, None)
        begin(connection)

    def do_commit(connection: Any) -> None:
        commit(connection)
        connection.info[_ENDED] = True

    def do_rollback(connection: Any) -> None:
        if not connection.info.get(_ENDED):
            roll_back(connection)
            connection.info[_ENDED] = True

    dialect.do_begin = do_begin
    dialect.do_commit = do_commit
    dialect.do_rollback = do_rollback
