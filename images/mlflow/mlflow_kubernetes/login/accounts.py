"""Users of a server that asks for a name and a password, each with an experiment of their own.

The functions work on the databases themselves. Their import takes seconds, and all of a server.
"""

import itertools
import os
from collections.abc import Mapping

from mlflow.entities import LifecycleStage
from mlflow.server.auth import store
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.server_cli_utils import resolve_default_artifact_root

from mlflow_kubernetes import contract
from mlflow_kubernetes.audit import commands
from mlflow_kubernetes.support.environment import required

_MANAGE = "MANAGE"


def make(passwords: Mapping[str, str]) -> None:
    """Make these users, or give them these passwords; the user `admin` always is an admin.

    Each other user gets an experiment of their own.
    """
    store.init_db(required(contract.AUTH_DATABASE_URI))
    for name, password in passwords.items():
        if not store.has_user(name):
            store.create_user(name, password, is_admin=name == contract.ADMIN)
            print(f"user {name} made", flush=True)
        elif not store.authenticate_user(name, password):
            store.update_user(name, password=password)
            print(f"user {name} has the stack's password again", flush=True)
        if name == contract.ADMIN:
            store.update_user(name, is_admin=True)
        elif (experiment := own_experiment(name)) != name:
            # The environment of the user's clients says otherwise (components/_login.py).
            print(
                f"experiment {name} is not user {name}'s alone: rename the experiment; until then "
                f"user {name} has experiment {experiment}",
                flush=True,
            )


def give_password(name: str, password: str) -> bool:
    """Make a user, or give a user another password; return whether the user was there before."""
    store.init_db(required(contract.AUTH_DATABASE_URI))
    if known := store.has_user(name):
        store.update_user(name, password=password)
    else:
        store.create_user(name, password)
    commands.note("users/update-password" if known else "users/create", username=name)
    return known


def own_experiment(user: str) -> str:
    """Return the name of an experiment that this user manages; make the experiment if needed.

    A client that names no experiment logs to Default, which only an admin may use: all its writers
    would read each other's runs. The experiment has the user's name, or a number behind the name
    where that experiment is deleted or somebody else's. A user who was removed and made again does
    not get the former user's experiment, for MLflow removes permissions with their user.
    """
    root = resolve_default_artifact_root(True, os.environ.get(contract.ARTIFACT_ROOT, ""), "")
    tracking = SqlAlchemyStore(required(contract.BACKEND_STORE_URI), root)
    managed = {
        one.experiment_id
        for one in store.list_experiment_permissions(user)
        if one.permission == _MANAGE
    }
    for number in itertools.count(1):
        name = user if number == 1 else f"{user}-{number}"
        experiment = tracking.get_experiment_by_name(name)
        if experiment is None:
            made = tracking.create_experiment(name)
            store.grant_user_permission(user, "experiment", made, _MANAGE)
            commands.note(
                "experiments/create",
                experiment_id=made,
                name=name,
                username=user,
                permission=_MANAGE,
            )
            return name
        if (
            experiment.experiment_id in managed
            and experiment.lifecycle_stage == LifecycleStage.ACTIVE
        ):
            return name
    raise AssertionError  # the numbers do not end
