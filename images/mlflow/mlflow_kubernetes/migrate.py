"""Bring the database's tables to what this MLflow expects, before any server starts.

Does what `mlflow db upgrade` does, on an address that never shows in a list of processes.
The servers themselves migrate only an empty database, and two of them doing so at once fail.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
import sqlalchemy
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.store.db import utils
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mlflow_kubernetes._environment import fail, one_line, required, wait

_URI = "MLFLOW_BACKEND_STORE_URI"
# A server that says one of these is up, and will say it again.
_FINAL = ("password authentication failed", "Access denied", "does not exist", "Unknown database")
_LOCK = {
    "postgresql": "SELECT pg_advisory_lock(hashtext('mlflow_kubernetes.migrate'))",
    "mysql": "SELECT GET_LOCK('mlflow_kubernetes.migrate', -1)",
}


def main() -> None:
    """Wait for the database, then migrate it."""
    engine = _engine(required(_URI))
    where = f"the database at {engine.url.host}:{engine.url.port or 'its default port'}"
    wait(where, lambda: _problem(engine, where))
    try:
        with _alone(engine):
            before, after = _migrate(engine)
    except (SQLAlchemyError, CommandError) as error:
        fail(f"cannot migrate {where}: {_reason(error)}")
    print(f"schema {after}: " + ("as expected" if before == after else f"was {before or 'empty'}"))


def _engine(uri: str) -> Engine:
    try:
        # The lock takes a connection for itself, and none is used twice.
        return sqlalchemy.create_engine(uri, poolclass=NullPool)
    except (ArgumentError, ValueError):
        # Their messages may quote a part of the address, and with it the password.
        fail(f"{_URI} is not an address that SQLAlchemy reads: expected dialect+driver://...")
    except ModuleNotFoundError as error:
        fail(f"{_URI} names a driver that this image lacks: {error.name}")


def _problem(engine: Engine, where: str) -> str | None:
    try:
        engine.connect().close()
    except DBAPIError as error:
        reason = _reason(error)
        if any(phrase in reason for phrase in _FINAL):
            fail(f"{where} refuses: {reason}")
        return reason
    return None


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Keep a second migration waiting until this one is done."""
    statement = _LOCK.get(engine.dialect.name)
    with engine.connect() as connection:
        if statement:
            connection.exec_driver_sql(statement)
        yield  # closing the connection gives the lock back


def _migrate(engine: Engine) -> tuple[str | None, str | None]:
    before = utils._get_schema_version(engine)
    if before is None:
        # Also right for a first migration that was cut short: it makes what is missing.
        utils._initialize_tables(engine)
    else:
        known = ScriptDirectory.from_config(utils._get_alembic_config(""))
        if before not in {script.revision for script in known.walk_revisions()}:
            fail(
                f"the database has schema {before}, which MLflow {mlflow.__version__} does not"
                " know: a newer MLflow wrote it. Run that version, or restore an older backup"
            )
        utils._upgrade_db(engine)
    return before, utils._get_schema_version(engine)


def _reason(error: Exception) -> str:
    # The driver's own words; SQLAlchemy adds the statement and a link around them.
    return one_line(getattr(error, "orig", None) or error)


if __name__ == "__main__":
    main()
