"""Artifacts are kept in the artifact store, in the folder that the server chooses.

MLflow lets every user who may make an experiment choose the location of its artifacts:

- A local path is a path in the server's pod: files there fill the pod's disk and are lost with it.
- A path with `..` can lead out of MLflow's folder in the store.
- A location in the folder of another experiment is read and written with the server's key, past the
  permissions of that experiment.
"""

import os
from typing import Any
from urllib.parse import unquote

from mlflow.exceptions import MlflowException
from mlflow.server import handlers
from mlflow.utils.uri import is_local_uri

from mlflow_kubernetes import contract
from mlflow_kubernetes.login import basic_auth

_validate: Any = handlers._validate_storage_location_uri


def install() -> None:
    """Refuse artifact locations outside of the folder that the server chooses."""
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
    # Clients with direct access have the store's key, so that MLflow's permissions do not hold.
    return basic_auth.configured() and contract.ARTIFACT_ROOT not in os.environ


def _accepted() -> str:
    """Return what a client can say instead."""
    if _chosen_by_the_server():
        return "accepted: no value"
    names = (contract.ARTIFACT_ROOT, contract.ARTIFACTS_DESTINATION)
    store = next(filter(None, map(os.environ.get, names)), "the store")
    return f"accepted: no value, or an address in {store}"
