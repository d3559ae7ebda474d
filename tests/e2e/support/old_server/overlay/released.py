"""What a release lacks that the stack's pods and programs rely on."""

import configparser
import os
import secrets
import tempfile
from typing import Any

from mlflow_kubernetes import contract
from mlflow_kubernetes.support.environment import required


def login_file() -> str:
    """Write the file of MLflow's own login, and return its path.

    The users exist already, with the admin, so the password in the file is nobody's.
    """
    config = configparser.ConfigParser()
    config["mlflow"] = {
        "database_uri": required(contract.AUTH_DATABASE_URI).replace("%", "%%"),
        "admin_username": contract.ADMIN,
        "admin_password": secrets.token_urlsafe(24),
        "default_permission": "NO_PERMISSIONS",
    }
    descriptor, path = tempfile.mkstemp(prefix="mlflow-", suffix=".ini", dir="/dev/shm")
    with os.fdopen(descriptor, "w") as file:
        config.write(file)
    return path


def create_app() -> Any:
    """Return MLflow's application with a login, which also answers the kubelet's second probe."""
    from mlflow.server import app, auth  # noqa: PLC0415 (only a server has it)

    app.add_url_rule("/health/ready", "ready", lambda: "OK")
    _remember_passwords(auth.store)
    return auth.create_app(app)


def _remember_passwords(store: Any) -> None:
    """Check each password once in a process: MLflow 3.10 takes 60 ms for it in every request."""
    check = store.authenticate_user
    known: set[tuple[str, str]] = set()

    def authenticate(username: str, password: str, **options: Any) -> bool:
        if (username, password) not in known and check(username, password, **options):
            known.add((username, password))
        return (username, password) in known

    store.authenticate_user = authenticate


def complete_users() -> None:
    """Give the store of users of MLflow 3.10 the names that later releases have."""
    from mlflow.server.auth import sqlalchemy_store, store  # noqa: PLC0415

    if hasattr(store, "grant_user_permission"):
        return
    # That release has one table for each kind of permission, and no others.
    sqlalchemy_store._RETAINED_LEGACY_PERMISSION_TABLES = ()
    store.grant_user_permission = lambda user, _kind, experiment, permission: (
        store.create_experiment_permission(experiment, user, permission)
    )
