"""Wait at start-up until each database answers and has the schema of this MLflow.

MLflow's server ends if its database does not answer, and Kubernetes waits longer before each
further start. On an empty database, MLflow's server makes the tables itself. Two servers that make
tables at the same time fail (mlflow/mlflow#19943).
"""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import sqlalchemy
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from mlflow_kubernetes import contract
from mlflow_kubernetes.login import basic_auth
from mlflow_kubernetes.support import database, database_timeouts
from mlflow_kubernetes.support.environment import wait

SECONDS = 230.0
"""How long the server waits. The startup probe of its pod ends a container after 240 s."""
_ANSWER_SECONDS = 5.0
# Where MLflow is not installed, pyright takes the folder images/mlflow for it.
_SCRIPTS = Path(mlflow.__file__).parent  # pyright: ignore[reportArgumentType]
_MIGRATIONS = _SCRIPTS / "store" / "db_migrations"
_MIGRATIONS_OF_USERS = _SCRIPTS / "server" / "auth" / "db" / "migrations"


def wait_for_schemas() -> None:
    """Return when the databases have the schemas that this MLflow expects.

    Raises:
        SystemExit: if that takes longer than ``SECONDS``.
    """
    for engine, table, head in _expected():
        # A file has one server, which makes the tables itself.
        if engine.dialect.name != "sqlite":
            wait(database.place(engine), lambda: _problem(engine, table, head), SECONDS)  # noqa: B023


def _expected() -> Iterator[tuple[Engine, str, str | None]]:
    """Return each database with the table and the revision that Alembic keeps there."""
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    yield database.engine(contract.BACKEND_STORE_URI), "alembic_version", head
    if basic_auth.configured():
        head = ScriptDirectory(str(_MIGRATIONS_OF_USERS)).get_current_head()
        yield database.engine(contract.AUTH_DATABASE_URI), "alembic_version_auth", head


def _problem(engine: Engine, table: str, head: str | None) -> str | None:
    query = sqlalchemy.select(sqlalchemy.column("version_num")).select_from(sqlalchemy.table(table))
    try:
        with database_timeouts.within(_ANSWER_SECONDS), engine.connect() as connection:
            found = connection.execute(query).scalar()
    except DBAPIError as error:
        return database.reason(error)
    return None if found == head else f"schema {found or 'none'}, expected {head}"
