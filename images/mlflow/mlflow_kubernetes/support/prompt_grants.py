"""Permissions for prompts, where the users have a database of their own.

Up to MLflow 3.12 a permission for a prompt is one for a registered model. Since 3.13 the server
asks for a permission for a prompt. MLflow's migration f1a2b3c4d5e6 changes the old permissions: it
reads in the table `registered_model_tags` which names are prompts. Where that table is in another
database, as in a stack, the migration changes nothing, and users lose their prompts (its docstring
says so).
"""

import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, String, Table
from sqlalchemy.engine import Connection

_REVISION = "f1a2b3c4d5e6"
_TAG = "mlflow.prompt.is_prompt"
# MLflow's columns, as far as the migration reads them (mlflow/store/model_registry/dbmodels).
_TAGS = Table(
    "registered_model_tags",
    MetaData(),
    Column("workspace", String(63)),
    Column("name", String(256)),
    Column("key", String(250)),
    Column("value", String(5000)),
)


def lend_names(
    users: Connection, runs: Connection, known: ScriptDirectory, version_table: str
) -> None:
    """Let a migration of the users' tables read which names are prompts.

    Args:
        users: The database of users, before its migration.
        runs: The database of runs and models, after its migration.
        known: The migrations of the users' tables.
        version_table: The table that names the revision of the users' tables.
    """
    # A migration that was cut short may have left the table.
    take_names_back(users)
    if _is_shared(users) or not _is_due(users, known, version_table):
        return
    wanted = sqlalchemy.select(_TAGS).where(_TAGS.c.key == _TAG)
    prompts = [dict(row) for row in runs.execute(wanted).mappings()]
    _TAGS.create(users)
    if prompts:
        users.execute(_TAGS.insert(), prompts)


def take_names_back(users: Connection) -> None:
    """Drop the table that `lend_names` made, if there is one."""
    if not _is_shared(users):
        _TAGS.drop(users, checkfirst=True)


def _is_shared(users: Connection) -> bool:
    """Say whether the database of users is also that of models, which has the table for good."""
    return sqlalchemy.inspect(users).has_table("registered_models")


def _is_due(users: Connection, known: ScriptDirectory, version_table: str) -> bool:
    options = {"version_table": version_table}
    current = MigrationContext.configure(users, opts=options).get_current_revision()
    if current is None:
        return False
    return _REVISION in {script.revision for script in known.iterate_revisions("head", current)}
