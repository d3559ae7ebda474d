"""Users of a server that asks for a name and a password.

`python -m mlflow_kubernetes.users TRACKING_URI NAME` makes a user, or gives a user a new password.
It works on the databases themselves, so whoever may run commands in the server's pod needs no
password for it.
"""

import itertools
import logging
import os
import re
import secrets
import string
import sys
import warnings
from collections.abc import Mapping

# Their readers are MLflow's developers, and this is a user's terminal.
warnings.simplefilter("ignore")

from mlflow.entities import LifecycleStage  # noqa: E402 (after the filter)
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.server.auth import store  # noqa: E402
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: E402
from mlflow.utils.server_cli_utils import resolve_default_artifact_root  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from mlflow_kubernetes import contract  # noqa: E402
from mlflow_kubernetes.audit import commands  # noqa: E402
from mlflow_kubernetes.support import database, database_timeouts  # noqa: E402
from mlflow_kubernetes.support.environment import fail, one_line, required  # noqa: E402

# Whose passwords the stack keeps, and gives to clients by itself.
_STACKS_OWN = (contract.ADMIN, contract.WORKSPACE)
_LETTERS = string.ascii_letters + string.digits
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


def main() -> None:
    """Make a user with a generated password, or give a user a new password.

    Prints the environment of the user's clients, as a shell reads it.
    """
    logging.disable(logging.WARNING)  # MLflow's own
    uri, *names = sys.argv[1:] or [""]
    name = " ".join(names)
    # In a login, a colon ends the name. A shell evaluates the printed lines.
    if not re.fullmatch(r"[\w.@+][-\w.@+]{0,249}", name, re.ASCII):
        fail(
            f"{name!r}: expected one name of 1 to 250 letters, digits and . _ - + @, "
            "which does not begin with -"
        )
    if name in _STACKS_OWN:
        fail(f"user {name} is the stack's own; expected a name other than {', '.join(_STACKS_OWN)}")
    password = "".join(secrets.choice(_LETTERS) for _ in range(24))
    # MLflow would ask for more than a minute, and log each time.
    for variable in (contract.AUTH_DATABASE_URI, contract.BACKEND_STORE_URI):
        database.ask(database.engine(variable))
    database_timeouts.install()
    try:
        store.init_db(required(contract.AUTH_DATABASE_URI))
        if known := store.has_user(name):
            store.update_user(name, password=password)
        else:
            store.create_user(name, password)
        commands.note("users/update-password" if known else "users/create", username=name)
        experiment = own_experiment(name)
    except SQLAlchemyError as error:
        fail(f"a database of the server fails: {database.reason(error)}")
    except MlflowException as error:
        fail(one_line(error.message))
    print(f"user {name} {'has a new password' if known else 'made'}", file=sys.stderr)
    for key, value in {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": password,
        "MLFLOW_EXPERIMENT_NAME": experiment,
    }.items():
        print(f"export {key}='{value}'")


if __name__ == "__main__":
    main()
