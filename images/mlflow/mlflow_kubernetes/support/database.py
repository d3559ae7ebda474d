"""The database in the programs of this package: its address, waiting for it, its messages."""

import sqlalchemy
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from mlflow_kubernetes.support.environment import fail, one_line, required, wait

# A server that says one of these is up, and will say it again.
_FINAL = (
    *("password authentication failed", "no pg_hba.conf entry", "permission denied"),
    *("Access denied", "does not exist", "Unknown database", "is not allowed to connect"),
    *("certificate verify failed", "server certificate for", "does not support SSL"),
    "doesn't support SSL",
)


def engine(variable: str) -> Engine:
    """Return an engine on the database that a variable of the environment names."""
    try:
        return _engine(required(variable))
    except (ArgumentError, ValueError):
        # Their messages may quote a part of the address, and with it the password.
        fail(f"{variable} is not an address that SQLAlchemy reads: expected dialect+driver://...")
    except ModuleNotFoundError as error:
        fail(f"{variable} names a driver that this image lacks: {error.name}")


def engine_of(login: str, password: str, variable: str) -> Engine:
    """Return an engine with another login on the server that a variable names, in no database."""
    url = engine(variable).url
    return _engine(URL.create(url.drivername, login, password, url.host, url.port, query=url.query))


def _engine(address: str | URL) -> Engine:
    # None is used twice: what a job does is short, and some of it locks. The time limit wins over
    # one in the address.
    return sqlalchemy.create_engine(
        address, poolclass=NullPool, connect_args={"connect_timeout": 5}
    )


def place(engine: Engine) -> str:
    """Return where the database is, as a user knows it."""
    return f"the database at {engine.url.host}:{engine.url.port or 'its default port'}"


def wait_for(engine: Engine) -> None:
    """Return when the database lets us in; end the job when it never will."""
    wait(place(engine), lambda: _problem(engine))


def ask(engine: Engine) -> None:
    """Return when the database lets us in; end the program when it does not at once."""
    if problem := _problem(engine):
        fail(f"{place(engine)} does not answer: {problem}")


def reason(error: Exception) -> str:
    """Return the driver's own words; SQLAlchemy adds the statement, as PostgreSQL does."""
    return one_line(getattr(error, "orig", None) or error).partition(" LINE 1: ")[0]


def _problem(engine: Engine) -> str | None:
    try:
        engine.connect().close()
    except DBAPIError as error:
        if any(phrase in reason(error) for phrase in _FINAL):
            fail(f"{place(engine)} refuses: {reason(error)}")
        return reason(error)
    return None
