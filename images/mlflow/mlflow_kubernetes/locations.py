"""Artifacts are kept in stores, never in the server's own files.

MLflow lets whoever may make an experiment choose where its artifacts go. A local path would be the
server's: what is written there fills its disk, and is gone with the pod. One that leads upwards
would be in a store, and out of the folder that is MLflow's there.
"""

from typing import Any
from urllib.parse import unquote

from mlflow.exceptions import MlflowException
from mlflow.server import handlers
from mlflow.utils.uri import is_local_uri

_validate: Any = handlers._validate_storage_location_uri


def install() -> None:
    """Refuse what MLflow accepts."""
    handlers._validate_storage_location_uri = _validate_in_a_store


def _validate_in_a_store(value: str, field_name: str) -> str:
    if is_local_uri(value, is_tracking_or_registry_uri=False):
        raise MlflowException.invalid_parameter_value(
            f"'{field_name}' is a path on the server: artifacts are kept in a store"
        )
    if ".." in unquote(unquote(value)).split("/"):
        raise MlflowException.invalid_parameter_value(f"'{field_name}' leads upwards, by '..'")
    return str(_validate(value, field_name))
