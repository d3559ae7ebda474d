"""The settings of MLflow's own login (basic-auth), from the environment alone.

MLflow reads the address of the database of users from a file and from nowhere else. This module
writes the file in memory, because the address has a password in it.
"""

import configparser
import os
import tempfile

from mlflow_kubernetes import contract
from mlflow_kubernetes.support.environment import required

_FILE = "MLFLOW_AUTH_CONFIG_PATH"
_MEMORY = "/dev/shm"  # noqa: S108 (the pod's own)
# A password is checked once in this time, not in each request, which costs some 50 ms by design
# (mlflow/mlflow#9684, #22817). So a password that was changed is good for as long on workers other
# than the one that changed it.
_CACHE_SECONDS = 30


def configure() -> None:
    """Write MLflow's file, and name it to this process and those that it becomes."""
    config = configparser.ConfigParser()
    config["mlflow"] = {
        # MLflow reads % as the begin of a reference.
        "database_uri": required(contract.AUTH_DATABASE_URI).replace("%", "%%"),
        "admin_username": contract.ADMIN,
        # What somebody made is theirs, until they or an admin let others in.
        "default_permission": "NO_PERMISSIONS",
        "auth_cache_ttl_seconds": str(_CACHE_SECONDS),
    }
    descriptor, path = tempfile.mkstemp(prefix="mlflow-", suffix=".ini", dir=_MEMORY)
    with os.fdopen(descriptor, "w") as file:
        config.write(file)
    os.environ[_FILE] = path


def configured() -> bool:
    """Say whether this server asks for a name and a password."""
    return _FILE in os.environ
