"""MLflow's database stores with the rules of this package, as plugins of MLflow.

The entry points `mlflow.tracking_store` and `mlflow.model_registry_store` in pyproject.toml name
the two functions below. MLflow calls them with the address of a database.
"""

import os
from typing import Any

# MLflow imports this module while it imports itself: every other import waits for the first call.
# ruff: noqa: PLC0415


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return the store of runs and traces.

    Args:
        store_uri: The address of the database.
        artifact_uri: The place of the artifacts of new experiments.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH

    from mlflow_kubernetes.stores import traces

    kind = traces.WorkspaceStore if MLFLOW_ENABLE_WORKSPACES.get() else traces.Store
    root = artifact_uri or DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    return kind(store_uri, root, read_db_uri=_replica())


def model_registry_store(store_uri: str) -> Any:
    """Return the store of registered models.

    Args:
        store_uri: The address of the database.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES

    from mlflow_kubernetes.stores import model_versions

    kind = model_versions.WorkspaceStore if MLFLOW_ENABLE_WORKSPACES.get() else model_versions.Store
    return kind(store_uri, read_db_uri=_replica())


def problem() -> str | None:
    """Return why MLflow does not take these stores, or None.

    MLflow goes on with its own stores when it cannot load a plugin.
    """
    from mlflow.server import handlers

    for registry in (
        handlers.TrackingStoreRegistryWrapper(),
        handlers.ModelRegistryStoreRegistryWrapper(),
    ):
        for database in ("mysql", "postgresql", "sqlite"):
            builder = registry.get_store_builder(f"{database}://")
            if builder not in (tracking_store, model_registry_store):
                return (
                    f"MLflow opens {database} by {builder.__module__}.{builder.__qualname__}, and "
                    f"not by {__name__}: the entry points of this package are missing or failed"
                )
    return None


def _replica() -> str | None:
    """Return the address of a database to read from, as MLflow's own stores do."""
    from mlflow.server.constants import READ_REPLICA_BACKEND_STORE_URI_ENV_VAR

    return os.environ.get(READ_REPLICA_BACKEND_STORE_URI_ENV_VAR)
