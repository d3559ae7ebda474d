"""The address of a model version's files does not name a run.

A version that was made of `runs:/<run>/<path>` has this address in MLflow's database. MLflow's
client then asks for the run, which the readers of the registered model may not read.
"""

from collections.abc import Iterator
from typing import Any

from mlflow.entities import LoggedModel
from mlflow.server import handlers
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.model_registry.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path

from mlflow_kubernetes.stores import pools


class Store(SqlAlchemyStore):
    """MLflow's store, which answers with the place of a version's files."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        for engine in filter(None, (self.engine, self.read_engine)):
            pools.install(engine)

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        """Return where a version's files are: for `runs:/<run>/<path>`, where that is."""
        uri = str(super().get_model_version_download_uri(name, version))
        if not RunsArtifactRepository.is_runs_uri(uri):
            return uri
        run_id, path = RunsArtifactRepository.parse_runs_uri(uri)
        tracking = handlers._get_tracking_store()
        run = tracking.get_run(run_id).info
        first, *rest = (path or "").split("/", 1)
        # As MLflow's client does: a model that was logged with the run wins over the run's files.
        for model in _models_of(tracking, run.experiment_id, run_id):
            if model.name == first:
                return append_to_uri_path(model.artifact_location, *rest)
        return append_to_uri_path(run.artifact_uri, *([path] if path else []))


class WorkspaceStore(Store, WorkspaceAwareSqlAlchemyStore):
    """The same for a server with MLFLOW_ENABLE_WORKSPACES."""


def _models_of(tracking: Any, experiment_id: str, run_id: str) -> Iterator[LoggedModel]:
    token = None
    while True:
        found = tracking.search_logged_models(
            [experiment_id], filter_string=f"source_run_id = '{run_id}'", page_token=token
        )
        yield from found
        if not (token := found.token):
            return
