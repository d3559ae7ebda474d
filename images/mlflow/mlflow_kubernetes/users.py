"""Users of a server that asks for a name and a password: `python -m mlflow_kubernetes.users alice`.

It works on the database itself, so whoever may run commands in the server's pod needs no password
to make a user, or to give one a new password.
"""

import re
import secrets
import string
import sys
from collections.abc import Mapping

from mlflow.server.auth import store

from mlflow_kubernetes import auth
from mlflow_kubernetes._environment import fail, required

# Whose passwords the stack keeps, and gives to clients by itself.
_STACKS_OWN = (auth.ADMIN, "workspace")
_LETTERS = string.ascii_letters + string.digits


def make(passwords: Mapping[str, str]) -> None:
    """Make these users, or give them these passwords; the first admin is one for good."""
    store.init_db(required(auth.URI))
    for name, password in passwords.items():
        if not store.has_user(name):
            store.create_user(name, password, is_admin=name == auth.ADMIN)
            print(f"user {name} made", flush=True)
        elif not store.authenticate_user(name, password):
            store.update_user(name, password=password)
            print(f"user {name} has the stack's password again", flush=True)
        if name == auth.ADMIN:
            store.update_user(name, is_admin=True)


def main() -> None:
    """Make a user with a generated password, or give one a new password; print what is needed."""
    name = " ".join(sys.argv[1:])
    # A colon would end it where a client sends it, and a shell reads what is printed.
    if not re.fullmatch(r"[\w.@+][-\w.@+]{0,254}", name, re.ASCII):
        fail(f"{name!r}: expected one name, of letters, digits and . _ - + @")
    if name in _STACKS_OWN:
        fail(f"user {name} is the stack's own; expected a name other than {', '.join(_STACKS_OWN)}")
    password = "".join(secrets.choice(_LETTERS) for _ in range(24))
    store.init_db(required(auth.URI))
    if known := store.has_user(name):
        store.update_user(name, password=password)
    else:
        store.create_user(name, password)
    print(f"user {name} {'has a new password' if known else 'made'}", file=sys.stderr)
    print(f"export MLFLOW_TRACKING_USERNAME='{name}'")
    print(f"export MLFLOW_TRACKING_PASSWORD='{password}'")


if __name__ == "__main__":
    main()
