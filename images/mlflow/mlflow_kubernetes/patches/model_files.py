"""What READ on a registered model carries: the files of its versions.

MLflow lets whoever may read a registered model ask where a version's files are, and see each of
them on its page. But its client downloads them through the artifact proxy, which asks for READ on
the experiment that they were logged in: `load_model` would be refused to everybody who is let in to
the model alone. MLflow's own check of a new version says that a registered model is a boundary of
access to its artifacts, and whoever makes a version must be able to read what it is made of
(`validate_can_create_model_version`).
"""

import importlib
from collections.abc import Iterator
from typing import Any

from mlflow.entities import LoggedModel
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.exceptions import MlflowException
from mlflow.server import handlers
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import func

_READ = "read"
_PROXY = "mlflow-artifacts:/"
_find: Any = SqlAlchemyStore.get_model_version_download_uri


def install() -> None:
    """Tell clients where files are, and not in which run: they might not be let in to the run."""
    SqlAlchemyStore.get_model_version_download_uri = _find_files


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


def _find_files(store: SqlAlchemyStore, name: str, version: str) -> str:
    """Return where a version's files are: for `runs:/<run>/<path>`, where that is."""
    uri = str(_find(store, name, version))
    if not RunsArtifactRepository.is_runs_uri(uri):
        return uri
    run_id, path = RunsArtifactRepository.parse_runs_uri(uri)
    tracking = handlers._get_tracking_store()
    run = tracking.get_run(run_id).info
    first, *rest = (path or "").split("/", 1)
    # As MLflow's client does: a model that was logged with the run wins over the run's own files.
    for model in _models_of(tracking, run.experiment_id, run_id):
        if model.name == first:
            return append_to_uri_path(model.artifact_location, *rest)
    return append_to_uri_path(run.artifact_uri, *([path] if path else []))


def _models_of(tracking: Any, experiment_id: str, run_id: str) -> Iterator[LoggedModel]:
    token = None
    while True:
        found = tracking.search_logged_models(
            [experiment_id], filter_string=f"source_run_id = '{run_id}'", page_token=token
        )
        yield from found
        if not (token := found.token):
            return


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
