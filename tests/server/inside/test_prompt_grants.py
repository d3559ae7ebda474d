"""Who could use a prompt before MLflow 3.13 still can, where users have a database of their own."""

from pathlib import Path

import pytest
import sqlalchemy
from mlflow.server.auth.db import utils
from mlflow_kubernetes import contract
from mlflow_kubernetes.support import schemas
from sqlalchemy.engine import Engine

BEFORE_ROLES = "2ed73881770d"
"""The newest revision of the users' tables up to MLflow 3.12."""
TAG = (
    "INSERT INTO registered_model_tags (workspace, name, key, value)"
    " VALUES ('default', 'a prompt', 'mlflow.prompt.is_prompt', 'true')"
)
USER = "INSERT INTO users (id, username) VALUES (1, 'alice')"
GRANTS = (
    "INSERT INTO registered_model_permissions (workspace, name, user_id, permission)"
    " VALUES ('default', 'a prompt', 1, 'EDIT'), ('default', 'a model', 1, 'EDIT')"
)


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A database of users as MLflow 3.12 left it, beside one of a prompt and a model."""
    runs = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'runs.db'}")
    # The package's own engines take an option that SQLite does not know.
    monkeypatch.setattr(schemas.database, "engine", {contract.BACKEND_STORE_URI: runs}.get)
    schemas.runs().make(runs)
    models = "INSERT INTO registered_models (workspace, name) VALUES ('default', '{}')".format
    run(runs, models("a prompt"), models("a model"), TAG)
    users = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'users.db'}")
    utils.migrate(users, BEFORE_ROLES)
    run(users, USER, GRANTS)
    return users


def grants(users: Engine) -> dict[str, str]:
    with users.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT resource_pattern, resource_type FROM role_permissions"
        )
        return {name: kind for name, kind in rows}


def test_a_permission_for_a_prompt_stays_one(users: Engine) -> None:
    schemas.users().upgrade(users)
    assert grants(users) == {"a prompt": "prompt", "a model": "registered_model"}
    assert not sqlalchemy.inspect(users).has_table("registered_model_tags")


def test_mlflow_alone_loses_it(users: Engine) -> None:
    utils.migrate(users, "head")
    assert grants(users) == {"a prompt": "registered_model", "a model": "registered_model"}


def test_an_upgrade_that_was_cut_short_can_be_repeated(users: Engine) -> None:
    run(users, "CREATE TABLE registered_model_tags (name VARCHAR(256))")
    schemas.users().upgrade(users)
    assert grants(users)["a prompt"] == "prompt"
    # Nothing is due any more, and nothing is left behind.
    run(users, "CREATE TABLE registered_model_tags (name VARCHAR(256))")
    schemas.users().upgrade(users)
    assert not sqlalchemy.inspect(users).has_table("registered_model_tags")
