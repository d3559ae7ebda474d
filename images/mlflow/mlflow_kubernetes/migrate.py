"""Bring the tables of the databases to what this MLflow expects, before any server starts.

The program does what `mlflow db upgrade` does, but the address of the database never shows in a
list of processes. Servers migrate only an empty database by themselves, and two servers that do so
at once fail. If the server has a login, the program migrates the database of users as well, and
makes the stack's own users.
"""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import CursorResult, Engine
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.patches import registry
from mlflow_kubernetes.support import database, schemas
from mlflow_kubernetes.support.database import reason
from mlflow_kubernetes.support.environment import fail
from mlflow_kubernetes.support.schemas import Schema

_LOCK = {
    "postgresql": "SELECT pg_advisory_lock(hashtext('mlflow_kubernetes.migrate'))",
    "mysql": "SELECT GET_LOCK('mlflow_kubernetes.migrate', -1)",
}


def main() -> None:
    """Wait for each database, then migrate it."""
    # Their readers are MLflow's developers, and the log of a Job is for its user.
    warnings.simplefilter("ignore")
    if problem := registry.check(["support.schemas"], login=contract.USERS in os.environ):
        fail(problem)
    _bring_up_to_date(database.engine(contract.BACKEND_STORE_URI), schemas.runs())
    if passwords := os.environ.get(contract.USERS):
        _bring_up_to_date(database.engine(contract.AUTH_DATABASE_URI), schemas.users())
        from mlflow_kubernetes import users  # noqa: PLC0415 (seconds, and all of a server)

        users.make(json.loads(passwords))


def _bring_up_to_date(engine: Engine, schema: Schema) -> None:
    where = database.place(engine)
    database.wait_for(engine)
    try:
        with _alone(engine):
            before, after = _migrate(engine, where, schema)
    except (SQLAlchemyError, CommandError) as error:
        fail(f"cannot migrate {where}: {reason(error)}")
    said = "as expected" if before == after else f"was {before or 'empty'}"
    print(f"{where}: schema {after}, {said}", flush=True)


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Keep a second migration waiting until this one is done."""
    statement = _LOCK.get(engine.dialect.name)
    with engine.connect() as connection:
        if statement:
            connection.exec_driver_sql(statement)
        yield  # closing the connection gives the lock back


def _version(engine: Engine, schema: Schema) -> str | None:
    with engine.connect() as connection:
        options = {"version_table": schema.version_table}
        return MigrationContext.configure(connection, opts=options).get_current_revision()


def _migrate(engine: Engine, where: str, schema: Schema) -> tuple[str | None, str | None]:
    before = _version(engine, schema)
    if before is not None:
        known = ScriptDirectory.from_config(schema.config(""))
        if before not in {script.revision for script in known.walk_revisions()}:
            fail(
                f"the database has schema {before}, which MLflow {mlflow.__version__} does not"
                " know: a newer MLflow wrote it. Run that version, or restore an older backup"
            )
    try:
        if before is None:
            # Also right for a first migration that was cut short: it makes what is missing.
            schema.make(engine)
        else:
            schema.upgrade(engine)
    except (SQLAlchemyError, CommandError) as error:
        if engine.dialect.name != "mysql":
            raise
        # MySQL undoes no DDL, so that a migration which was cut short meets its own tables, and
        # fails on them for ever (mlflow/mlflow#23721).
        print(f"the migration of {where} stopped half-way: {reason(error)}", flush=True)
        _drop_tables_without_data(engine, where, schema, error)
        schema.make(engine)
    return before, _version(engine, schema)


def _drop_tables_without_data(engine: Engine, where: str, schema: Schema, error: Exception) -> None:
    """Make room for a migration from the start, or end the job where that would lose data."""
    quote = engine.dialect.identifier_preparer.quote
    known = sqlalchemy.inspect(engine).get_sorted_table_and_fkc_names()
    there = [table for table, _ in reversed(known) if table in schema.tables]
    if not there:
        raise error
    with engine.connect() as connection:

        def execute(statement: str) -> CursorResult[Any]:
            return connection.exec_driver_sql(statement)

        # A server that still runs can write nothing between the look and the removal.
        execute("SET lock_wait_timeout = 30")
        execute("LOCK TABLES " + ", ".join(f"{quote(table)} WRITE" for table in there))
        for table in there:
            data = f"FROM {quote(table)} WHERE NOT {schema.no_data.get(table, 'false')}"
            if execute(f"SELECT 1 {data} LIMIT 1").first():
                fail(
                    f"cannot migrate {where}: {reason(error)}; MySQL keeps what a migration did"
                    f" before it stopped, and nothing was dropped, for there is data (in {table}):"
                    " restore a backup made before the migration, then run it again"
                )
        # One by one, those that refer to others first: several at once are dropped as well, but
        # under a lock MySQL 9.7 then fails to find them.
        for table in there:
            execute(f"DROP TABLE {quote(table)}")
    print("it holds no data: its tables were dropped, and are made anew", flush=True)


if __name__ == "__main__":
    main()
