"""The two schemas that MLflow keeps in databases, and how each is made and brought up to date."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from mlflow.store.db import utils
from mlflow.store.db.base_sql_model import Base
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy.engine import Connection, Engine

from mlflow_kubernetes import contract
from mlflow_kubernetes.support import database, prompt_grants


class Schema(NamedTuple):
    """Tables that are migrated together."""

    version_table: str
    config: Callable[[str], Config]
    """Returns Alembic's configuration for an address."""
    make: Callable[[Engine], None]
    """Makes what is missing in a database without a version."""
    upgrade: Callable[[Engine], None]
    tables: Collection[str]
    """Every table that a migration makes: what it renames or drops again, no version of MLflow has
    made."""
    no_data: Mapping[str, str]
    """The rows that migrations and servers make by themselves, as a condition by table."""
    initial: str | None = None
    """The revision of tables that were made before MLflow noted revisions; None if it always
    did."""

    names_prompts: bool = False
    """Whether a migration has to read in the tables of runs which names are prompts."""

    def is_unversioned(self, connection: Connection) -> bool:
        """Say whether the database has tables without a revision."""
        found = sqlalchemy.inspect(connection)
        return self.initial is not None and (
            found.has_table("users") and not found.has_table(self.version_table)
        )


def runs() -> Schema:
    """Return the schema of experiments, runs and models."""
    return Schema(
        version_table="alembic_version",
        config=utils._get_alembic_config,
        make=utils._initialize_tables,
        upgrade=utils._upgrade_db,
        tables=Base.metadata.tables.keys()
        | InitialBase.metadata.tables.keys()
        | {"alembic_version"},
        no_data={
            "alembic_version": "true",
            "experiments": "(experiment_id = 0 AND name = 'Default')",
            "workspaces": "name = 'default'",
        },
    )


def users() -> Schema:
    """Return the schema of the users of a server that asks for a name and a password."""
    from mlflow.server.auth import sqlalchemy_store  # noqa: PLC0415 (seconds, and all of a server)
    from mlflow.server.auth.db import models  # noqa: PLC0415
    from mlflow.server.auth.db import utils as auth_utils  # noqa: PLC0415

    def migrate(engine: Engine) -> None:
        # Two tables of the first migration have a key of the same name, which MySQL takes once in a
        # database (mlflow/mlflow#9642). Without one, it gives each a name of its own. Alembic's
        # script there makes an engine of its own.
        if engine.dialect.name == "mysql":
            sqlalchemy.event.listen(Engine, "before_cursor_execute", _unname, retval=True)
        auth_utils.migrate(engine, "head")

    version_table = "alembic_version_auth"

    def upgrade(engine: Engine) -> None:
        known = ScriptDirectory.from_config(auth_utils._get_alembic_config(""))
        runs = database.engine(contract.BACKEND_STORE_URI)
        with engine.begin() as connection, runs.connect() as of_runs:
            prompt_grants.lend_names(connection, of_runs, known, version_table)
        migrate(engine)
        with engine.begin() as connection:
            prompt_grants.take_names_back(connection)

    return Schema(
        version_table=version_table,
        config=auth_utils._get_alembic_config,
        make=migrate,
        upgrade=upgrade,
        tables={
            *models.Base.metadata.tables,
            *sqlalchemy_store._RETAINED_LEGACY_PERMISSION_TABLES,
            version_table,
        },
        no_data={version_table: "true"},
        initial=auth_utils.INITIAL_REVISION,
        names_prompts=True,
    )


def upgrade_within(connection: Connection, schema: Schema, runs: Connection) -> None:
    """Upgrade the tables within the transaction of a connection, which the caller commits.

    MLflow's own scripts for Alembic (`env.py`) make a connection of their own, and commit.

    Args:
        connection: a connection to the tables' database.
        schema: the tables.
        runs: a connection that sees the tables of runs as they are after their upgrade.
    """
    config = schema.config("")
    scripts = ScriptDirectory.from_config(config)
    options = {"version_table": schema.version_table}
    if schema.is_unversioned(connection):
        MigrationContext.configure(connection, opts=options).stamp(scripts, str(schema.initial))

    def steps(revision: Any, _: object) -> Any:
        return scripts._upgrade_revs("heads", revision)

    if schema.names_prompts:
        prompt_grants.lend_names(connection, runs, scripts, schema.version_table)
    with EnvironmentContext(config, scripts, fn=steps, destination_rev="heads") as environment:
        environment.configure(connection=connection, **options)
        environment.run_migrations()
    if schema.names_prompts:
        prompt_grants.take_names_back(connection)


def _unname(_: object, __: object, statement: str, parameters: object, *___: object) -> Any:
    return statement.replace("CONSTRAINT fk_user_id FOREIGN KEY", "FOREIGN KEY"), parameters
