"""The two schemas that MLflow keeps in databases, and how each is made and brought up to date."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory
from mlflow.store.db import utils
from mlflow.store.db.base_sql_model import Base
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy.engine import Engine

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
        with engine.begin() as connection:
            prompt_grants.lend_names(connection, runs, known, version_table)
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
    )


def _unname(_: object, __: object, statement: str, parameters: object, *___: object) -> Any:
    return statement.replace("CONSTRAINT fk_user_id FOREIGN KEY", "FOREIGN KEY"), parameters
