"""Whoever may read a registered model may read the files of its versions.

MLflow shows the place of a version's files to every user with READ on the registered model. But
MLflow's client downloads the files by the artifact proxy, which asks for READ on the experiment
that has the files, so that `load_model` fails for such a user. MLflow's own check of a new version
treats a registered model as a boundary of access: whoever makes a version must be able to read its
files (`validate_can_create_model_version`). So the files may be read with READ on the model.
"""

import importlib
from collections.abc import Iterator
from typing import Any

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.exceptions import MlflowException
from mlflow.server import handlers
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import func

_READ = "read"
_PROXY = "mlflow-artifacts:/"


def install_with_login() -> None:
    """Let readers of a registered model read its files through the artifact proxy."""
    server: Any = importlib.import_module("mlflow.server.auth")
    by_flask = server._authorize_flask_artifact_proxy
    by_fastapi = server._authorize_fastapi_artifact_proxy

    def flask(action: str) -> bool:
        if by_flask(action):
            return True
        username = server.authenticate_request().username
        return action == _READ and _carried(server, username, server._artifact_proxy_path())

    def fastapi(path: str, username: str, query_path: str | None, action: str) -> bool:
        if by_fastapi(path, username, query_path, action):
            return True
        asked = server._artifact_proxy_path_from_request_path(path, query_path)
        return action == _READ and _carried(server, username, asked)

    server._authorize_flask_artifact_proxy = flask
    server._authorize_fastapi_artifact_proxy = fastapi


def _carried(server: Any, username: str, path: str | None) -> bool:
    """Say whether a path of the proxy is in a version of a model that this user may read."""
    canonical = server._canonical_artifact_proxy_path(path) if path else None
    if not canonical:
        return False
    places = list(_places(canonical.strip("/").split("/")))
    store = handlers._get_model_registry_store()
    with store.ManagedSessionMaker(read_only=True) as session:
        files = func.coalesce(SqlModelVersion.storage_location, SqlModelVersion.source)
        found = (
            session.query(SqlModelVersion.name)
            .filter(files.in_(places))
            .filter(SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL)
            .distinct()
            .all()
        )
    return any(_may_read(server, username, name) for (name,) in found)


def _places(parts: list[str]) -> Iterator[str]:
    """Return each way in which a version may name a folder that a file of the proxy is in."""
    for count in range(1, len(parts) + 1):
        yield append_to_uri_path(_PROXY, *parts[:count])
    match parts:
        case [_, "models", model_id, "artifacts", *rest]:
            try:
                model = handlers._get_tracking_store().get_logged_model(model_id)
            except MlflowException:
                return
            run_id, rest = model.source_run_id, [model.name, *rest]
        case [_, run_id, "artifacts", *rest]:
            pass
        case _:
            return
    for count in range(len(rest) + 1):
        yield "/".join([f"runs:/{run_id}", *rest[:count]])


def _may_read(server: Any, username: str, name: str) -> bool:
    """Decide as MLflow does for a version of this model."""
    model = (server.RESOURCE_TYPE_REGISTERED_MODEL, name)
    version = server.RESOURCE_TYPE_REGISTERED_MODEL_VERSION
    return bool(
        server.authorize(
            username,
            model,
            [
                server.Requirement(*model, _READ),
                server.Requirement(version, "*", server.ACTION_NOT_DENIED),
            ],
        )
    )
