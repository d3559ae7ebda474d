"""Remove for good what was deleted in MLflow, with its files: `python -m mlflow_kubernetes.gc`.

Does what `mlflow gc` does, on the database and the store themselves: `mlflow gc` has the server
remove the files, and the server asks for a login that no pod has. Beyond `mlflow gc`, it

- removes all files of a deleted experiment, also those of its logged models and traces;
- keeps what a registered model's version is made of;
- goes on after a run whose files cannot be removed, and keeps that run's records.
"""

import argparse
import posixpath
import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mlflow.entities import LifecycleStage
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.time import get_current_time_millis
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.patches import registry
from mlflow_kubernetes.support import database
from mlflow_kubernetes.support.environment import fail, one_line, required, seconds

_PROXIED = re.compile(r"mlflow-artifacts:|https?://.*?/mlflow-artifacts/artifacts")
# A store that is away is reported after so many failures, and not once for each of a thousand runs.
_MOST_FAILURES = 5
# Each batch is one transaction.
_TRACES_AT_ONCE = 1000


class _Experiment(NamedTuple):
    id: int
    name: str
    files: str


class _Found(NamedTuple):
    """A run or a logged model."""

    id: str
    files: str
    stage: str


class _Collector:
    """Removes files first, then records, so that the next collection finds what was cut short."""

    def __init__(self, store: SqlAlchemyStore, destination: str) -> None:
        self._store = store
        self._destination = destination
        self._registered = self._find_registered()
        self._told: set[str] = set()
        self.removed = {"runs": 0, "logged models": 0, "experiments": 0}
        self.failures = 0

    def deleted_experiments(self, latest: int) -> list[_Experiment]:
        """Return the experiments that were deleted until then (ms since 1970)."""
        return self._experiments(
            SqlExperiment.lifecycle_stage == LifecycleStage.DELETED,
            SqlExperiment.last_update_time <= latest,
        )

    def runs_and_models(self, latest: int) -> None:
        """Remove the runs and logged models that were deleted until then."""
        self._remove_runs(
            SqlRun.lifecycle_stage == LifecycleStage.DELETED, SqlRun.deleted_time <= latest
        )
        self._remove_models(
            SqlLoggedModel.lifecycle_stage == LifecycleStage.DELETED,
            SqlLoggedModel.last_updated_timestamp_ms <= latest,
        )

    def experiment(self, experiment: _Experiment) -> None:
        """Remove a deleted experiment, with all that is in it."""
        name = f"experiment {experiment.name!r}"
        inside = SqlRun.experiment_id == experiment.id
        if active := self._runs(inside, SqlRun.lifecycle_stage != LifecycleStage.DELETED):
            print(f"{name} is kept: run {active[0].id} was restored")
        elif self._remove_runs(inside) + self._remove_models(
            SqlLoggedModel.experiment_id == experiment.id
        ):
            print(f"{name} is kept, for what is left in it")
        else:
            files = experiment.files if self._is_own_folder(experiment) else None
            self._remove(
                "experiments", name, files, lambda: self._remove_records(str(experiment.id))
            )

    def _is_own_folder(self, experiment: _Experiment) -> bool:
        """Say whether nothing but this experiment's files is in its folder.

        The server names the folder by the experiment's id. A folder that a client chose may hold
        anything.
        """
        location = (experiment.files or "").rstrip("/")
        others = self._experiments(
            SqlExperiment.experiment_id != experiment.id,
            (SqlExperiment.artifact_location == location)
            | SqlExperiment.artifact_location.startswith(f"{location}/", autoescape=True),
        )
        return posixpath.basename(location) == str(experiment.id) and not others

    def _remove_records(self, experiment_id: str) -> None:
        # The experiment's own removal would load all of its traces into memory.
        while self._store.delete_traces(
            experiment_id, max_timestamp_millis=2**62, max_traces=_TRACES_AT_ONCE
        ):
            pass
        self._store._hard_delete_experiment(experiment_id)

    def _remove_runs(self, *conditions: Any) -> int:
        runs = self._runs(*conditions)
        return self._remove_each("runs", "run", runs, self._store._hard_delete_run)

    def _remove_models(self, *conditions: Any) -> int:
        table = SqlLoggedModel
        columns = (table.model_id, table.artifact_location, table.lifecycle_stage)
        models = [_Found(*row) for row in self._query(columns, *conditions)]
        remove = self._store._hard_delete_logged_model
        return self._remove_each("logged models", "logged model", models, remove)

    def _remove_each(
        self, kind: str, word: str, found: Collection[_Found], remove: Callable[[str], None]
    ) -> int:
        """Return how many of them are still there."""
        kept = 0
        for one in found:
            if version := self._registered.get(one.id):
                # A run is found by itself, and again in its experiment.
                if one.id not in self._told:
                    print(f"{word} {one.id} is kept: {version} is made of it")
                    self._told.add(one.id)
                kept += 1
            elif not self._remove(kind, f"{word} {one.id}", one.files, partial(remove, one.id)):
                kept += 1
        return kept

    def _remove(self, kind: str, name: str, files: str | None, remove: Callable[[], None]) -> bool:
        try:
            if files:
                self._remove_files(files)
            remove()
        except Exception as error:
            if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return True  # another collector was faster
            print(f"{name} cannot be removed: {_reason(error)}")
            self.failures += 1
            if self.failures == _MOST_FAILURES:
                self.tell()
                fail(f"{_MOST_FAILURES} removals failed, for the reasons above")
            return False
        self.removed[kind] += 1
        return True

    def _remove_files(self, uri: str) -> None:
        repository = get_artifact_repository(in_the_store(uri, self._destination))
        repository.delete_artifacts()
        # S3 answers a removal that it refused with 200, and MLflow does not look into the answer.
        if left := repository.list_artifacts():
            raise MlflowException(f"the store keeps {left[0].path} in {uri}")

    def _experiments(self, *conditions: Any) -> list[_Experiment]:
        table = SqlExperiment
        columns = (table.experiment_id, table.name, table.artifact_location)
        return [_Experiment(*row) for row in self._query(columns, *conditions)]

    def _runs(self, *conditions: Any) -> list[_Found]:
        columns = (SqlRun.run_uuid, SqlRun.artifact_uri, SqlRun.lifecycle_stage)
        return [_Found(*row) for row in self._query(columns, *conditions)]

    def _query(self, columns: Iterable[Any], *conditions: Any) -> list[Any]:
        with self._store.ManagedSessionMaker(read_only=True) as session:
            return session.query(*columns).filter(*conditions).all()

    def _find_registered(self) -> dict[str, str]:
        """Return the versions of registered models, by the run or logged model with their files."""
        table = SqlModelVersion
        columns = (table.name, table.version, table.run_id, table.source, table.storage_location)
        found: dict[str, str] = {}
        for name, version, *places in self._query(
            columns, table.current_stage != STAGE_DELETED_INTERNAL
        ):
            for part in re.findall(r"[^/:]+", "/".join(place or "" for place in places)):
                found[part] = f"version {version} of model {name!r}"
        return found

    def tell(self) -> None:
        """Say what was removed."""
        counts = ", ".join(f"{count} {kind}" for kind, count in self.removed.items())
        print(f"removed with their files: {counts}", flush=True)


def in_the_store(uri: str, destination: str) -> str:
    """Return the place in the store of files whose address leads through the server.

    Raises:
        MlflowException: if the address is that of the whole store.
    """
    if match := _PROXIED.match(uri):
        path = posixpath.normpath(urlsplit(uri[match.end() :]).path).strip("/")
        if path in ("", ".") or path.startswith(".."):
            raise MlflowException(f"{uri} is no folder of the store")
        return f"{destination.rstrip('/')}/{path}"
    return uri


def _reason(error: Exception) -> str:
    return database.reason(error) if isinstance(error, SQLAlchemyError) else one_line(error)


def _named(names: Iterable[str], deleted: Collection[_Experiment]) -> list[_Experiment]:
    """Return the deleted experiments with these names or ids."""
    known = {key: one for one in deleted for key in (str(one.id), one.name)}
    for name in names:
        if name not in known:
            listed = ", ".join(f"{one.name} ({one.id})" for one in deleted)
            fail(
                f"experiment {name!r}: expected the name or id of one that is deleted and old "
                f"enough: {listed or 'there is none'}"
            )
    return [known[name] for name in names]


def _collect(latest: int, names: Collection[str]) -> _Collector:
    destination = required(contract.ARTIFACTS_DESTINATION)
    store = SqlAlchemyStore(required(contract.BACKEND_STORE_URI), destination)
    collector = _Collector(store, destination)
    chosen = collector.deleted_experiments(latest)
    if names:
        chosen = _named(names, chosen)
    else:
        collector.runs_and_models(latest)
    for experiment in chosen:
        collector.experiment(experiment)
    return collector


def main() -> None:
    """Remove what is old enough: of the experiments that are named, or of all."""
    parser = argparse.ArgumentParser(prog="gc", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--older-than", default="0s", help="such as 30d or 1d12h")
    parser.add_argument("--experiment", action="append", default=[], help="name or id")
    arguments = parser.parse_args()
    try:
        latest = get_current_time_millis() - int(seconds(arguments.older_than) * 1000)
    except ValueError:
        fail(f"--older-than {arguments.older_than}: expected an age such as 30d, 12h or 1d12h")
    if problem := registry.check(["gc"]):
        fail(problem)
    database.wait_for(database.engine(contract.BACKEND_STORE_URI))
    try:
        collector = _collect(latest, arguments.experiment)
    except (MlflowException, SQLAlchemyError) as error:
        fail(_reason(error))
    collector.tell()
    if collector.failures:
        fail(f"removals that failed: {collector.failures}, for the reasons above")


if __name__ == "__main__":
    main()
