"""Users of a server that asks for a name and a password.

`python -m mlflow_kubernetes.users TRACKING_URI NAME` makes a user, or gives a user a new password.
It works on the databases themselves, so whoever may run commands in the server's pod needs no
password for it.
"""

import logging
import re
import secrets
import string
import sys
import warnings

from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.support import database, database_timeouts
from mlflow_kubernetes.support.environment import fail, one_line

# Whose passwords the stack keeps, and gives to clients by itself.
_STACKS_OWN = (contract.ADMIN, contract.WORKSPACE)
_LETTERS = string.ascii_letters + string.digits


def main() -> None:
    """Make a user with a generated password, or give a user a new password.

    Prints the environment of the user's clients, as a shell reads it.
    """
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
    # The readers of MLflow's warnings are its developers, and this is a user's terminal.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (seconds, after the checks)

    from mlflow_kubernetes.login import accounts  # noqa: PLC0415

    try:
        known = accounts.give_password(name, password)
        experiment = accounts.own_experiment(name)
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
