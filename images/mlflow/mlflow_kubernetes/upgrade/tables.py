"""MLflow's tables in one database: their revision, and the way to the one of this MLflow."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection, CursorResult, Engine
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes.support import database, schemas
from mlflow_kubernetes.support.database import reason
from mlflow_kubernetes.support.schemas import Schema

UNVERSIONED = "unversioned"
"""The revision of tables that were made before MLflow noted revisions."""
# PostgreSQL has such locks in each database. MySQL has them in the whole server, with names of 64
# characters at most.
_LOCK = {
    "postgresql": "SELECT pg_advisory_lock(hashtext('mlflow_kubernetes.{key}'))",
    "mysql": (
        "SELECT GET_LOCK(CONCAT('mlflow_kubernetes.{key}.', LEFT(SHA2(DATABASE(), 256), 32)), -1)"
    ),
}


class MigrationError(Exception):
    """The tables cannot be brought to what this MLflow expects."""


@dataclass(frozen=True)
class Tables:
    """The tables of one database."""

    key: str
    """`runs` or `users`."""
    engine: Engine
    schema: Schema

    @property
    def where(self) -> str:
        """The database, as a user knows it."""
        return database.place(self.engine)

    @property
    def transactional(self) -> bool:
        """Whether the database undoes changed tables with a transaction."""
        return self.engine.dialect.name == "postgresql"

    def revision(self) -> str | None:
        """Return the revision of the tables; None where there are none."""
        with self.engine.connect() as connection:
            options = {"version_table": self.schema.version_table}
            found = MigrationContext.configure(connection, opts=options).get_current_revision()
            if found is None and self.schema.is_unversioned(connection):
                return UNVERSIONED
            return found

    def head(self) -> str:
        """Return the revision that this MLflow expects."""
        return str(self._scripts().get_current_head())

    def knows(self, revision: str) -> bool:
        """Say whether this MLflow can bring tables of that revision to its own."""
        known = {script.revision for script in self._scripts().walk_revisions()}
        return revision in known | {UNVERSIONED}

    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self.schema.config(""))

    def bring_up_to_date(self) -> None:
        """Make or upgrade the tables by MLflow's own functions.

        Raises:
            MigrationError: if that fails.
        """
        before = self.revision()
        try:
            if before is None:
                # Also right for a first migration that was cut short: it makes what is missing.
                self.schema.make(self.engine)
            else:
                self.schema.upgrade(self.engine)
        except (SQLAlchemyError, CommandError) as error:
            if self.engine.dialect.name != "mysql":
                raise MigrationError(f"cannot migrate {self.where}: {reason(error)}") from error
            # MySQL undoes no DDL, so that a migration which was cut short meets its own tables, and
            # fails on them for ever (mlflow/mlflow#23721).
            print(f"the migration of {self.where} stopped half-way: {reason(error)}", flush=True)
            self._drop_tables_without_data(error)
            self.schema.make(self.engine)
        self.tell(before)

    def tell(self, before: str | None) -> None:
        """Print the revision of the tables, and the one before."""
        after = self.revision()
        said = "as expected" if before == after else f"was {before or 'empty'}"
        print(f"{self.where}: schema {after}, {said}", flush=True)

    def _drop_tables_without_data(self, error: Exception) -> None:
        """Make room for a migration from the start, unless that would lose data."""
        quote = self.engine.dialect.identifier_preparer.quote
        known = sqlalchemy.inspect(self.engine).get_sorted_table_and_fkc_names()
        there = [table for table, _ in reversed(known) if table in self.schema.tables]
        if not there:
            raise MigrationError(f"cannot migrate {self.where}: {reason(error)}") from error
        with self.engine.connect() as connection:

            def execute(statement: str) -> CursorResult[Any]:
                return connection.exec_driver_sql(statement)

            # A server that still runs can write nothing between the look and the removal.
            execute("SET lock_wait_timeout = 30")
            execute("LOCK TABLES " + ", ".join(f"{quote(table)} WRITE" for table in there))
            for table in there:
                data = f"FROM {quote(table)} WHERE NOT {self.schema.no_data.get(table, 'false')}"
                if execute(f"SELECT 1 {data} LIMIT 1").first():
                    raise MigrationError(
                        f"cannot migrate {self.where}: {reason(error)}; MySQL keeps what a"
                        " migration did before it stopped, and nothing was dropped, for there is"
                        f" data (in {table}): restore a backup made before the migration, then run"
                        " it again"
                    ) from error
            # One by one, those that refer to others first: several at once are dropped as well, but
            # under a lock MySQL 9.7 then fails to find them.
            for table in there:
                execute(f"DROP TABLE {quote(table)}")
        print("it holds no data: its tables were dropped, and are made anew", flush=True)


def upgrade_together(all_tables: Sequence[Tables]) -> None:
    """Upgrade the tables of several databases so that all of them change, or none.

    In PostgreSQL each database is changed in a transaction, and the transactions are committed when
    every change is made. MySQL commits each statement that changes a table. The tables of runs are
    the first ones.

    Raises:
        MigrationError: if that fails.
    """
    before = {tables.key: tables.revision() for tables in all_tables}
    if not all(tables.transactional for tables in all_tables):
        for tables in all_tables:
            tables.bring_up_to_date()
        return
    with ExitStack() as connections:
        transactions = []
        of_runs: Connection | None = None
        for tables in all_tables:
            connection = connections.enter_context(tables.engine.connect())
            transactions.append(connection.begin())
            of_runs = of_runs or connection
            try:
                if before[tables.key] is None:
                    # Nobody can lose an empty database.
                    transactions.pop().rollback()
                    tables.schema.make(tables.engine)
                else:
                    schemas.upgrade_within(connection, tables.schema, of_runs)
            except (SQLAlchemyError, CommandError) as error:
                raise MigrationError(f"cannot migrate {tables.where}: {reason(error)}") from error
        try:
            for transaction in transactions:
                transaction.commit()
        except SQLAlchemyError as error:
            raise MigrationError(f"cannot commit: {reason(error)}") from error
    for tables in all_tables:
        tables.tell(before[tables.key])


@contextmanager
def alone(tables: Tables) -> Generator[Connection]:
    """Keep a second migration waiting until this one is done; give the connection with the lock."""
    statement = _LOCK.get(tables.engine.dialect.name)
    with tables.engine.connect() as connection:
        if statement:
            connection.exec_driver_sql(statement.format(key=tables.key))
            connection.commit()
        yield connection  # closing the connection gives the lock back
