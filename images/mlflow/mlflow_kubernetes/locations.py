"""Artifacts are kept where the server says, and never in its own files.

MLflow lets whoever may make an experiment choose where its artifacts go. A local path would be the
server's: what is written there fills its disk, and is gone with the pod. One that leads upwards
would be in a store, and out of the folder that is MLflow's there. And one in the folder of another
experiment would be read and written there with the server's key, past the permissions of whoever
owns that.
"""

import os
from typing import Any
from urllib.parse import unquote

from mlflow.exceptions import MlflowException
from mlflow.server import handlers
from mlflow.utils.uri import is_local_uri

from mlflow_kubernetes import auth

_ROOT = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
_validate: Any = handlers._validate_storage_location_uri


def install() -> None:
    """Refuse what MLflow accepts."""
    handlers._validate_storage_location_uri = _validate_in_a_store


def _validate_in_a_store(value: str, field_name: str) -> str:
    if is_local_uri(value, is_tracking_or_registry_uri=False):
        raise MlflowException.invalid_parameter_value(
            f"'{field_name}' is a path on the server; {_accepted()}"
        )
    if ".." in unquote(unquote(value)).split("/"):
        raise MlflowException.invalid_parameter_value(
            f"'{field_name}' leads upwards, by '..'; {_accepted()}"
        )
    if _chosen_by_the_server():
        raise MlflowException.invalid_parameter_value(
            f"'{field_name}' is for the server to choose, for who may read what depends on it; "
            f"{_accepted()}"
        )
    return str(_validate(value, field_name))


def _chosen_by_the_server() -> bool:
    # Clients that go to the store themselves have its key: no permission of MLflow's holds there.
    return auth.configured() and _ROOT not in os.environ


def _accepted() -> str:
    """Return what a client can say instead."""
    if _chosen_by_the_server():
        return "accepted: no value"
    store = os.environ.get(_ROOT) or os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "the store")
    return f"accepted: no value, or an address in {store}"
