"""Runs are written in few statements, with MLflow's own results.

See batches.py and run_rows.py for the statements, which do what `_log_metrics_once`, `_log_params`,
`_set_tags` and `_update_latest_metrics_if_necessary` of MLflow's store do. Two results differ. A
batch that the database refuses leaves nothing, where MLflow commits params, metrics and tags one
after the other. Two clients that log the same params at the same time are answered by MLflow's rule
for params, where one of them met an error of the database.
"""

import uuid
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from mlflow.entities import (
    LifecycleStage,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunStatus,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, _get_run_name_from_tags
from mlflow.utils.name_utils import _generate_random_name
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.validation import (
    _parse_experiment_id,
    _validate_batch_log_data,
    _validate_batch_log_limits,
    _validate_metric,
    _validate_param,
    _validate_param_keys_unique,
    _validate_run_id,
    _validate_tag,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from mlflow_kubernetes.stores import batches, pools, run_rows
from mlflow_kubernetes.stores.batches import Batch, Found
from mlflow_kubernetes.stores.run_rows import Experiment
from mlflow_kubernetes.stores.statements import committing

_MOST_EXPERIMENTS = 1000
_MOST_RACES = 5
_P = ParamSpec("_P")


def _where_names_are_exact(
    write: Callable[Concatenate["Store", _P], None],
) -> Callable[Concatenate["Store", _P], None]:
    """Leave a call to MLflow's method of this name where the database takes two names for one.

    MLflow's own statements refuse the second one of such names.
    """

    @wraps(write)
    def call(self: "Store", /, *arguments: _P.args, **more: _P.kwargs) -> None:
        if self._exact:
            write(self, *arguments, **more)
        else:
            getattr(super(Store, self), write.__name__)(*arguments, **more)

    return call


class Store(SqlAlchemyStore):
    """MLflow's store, which writes runs in few statements."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        for engine in filter(None, (self.engine, self.read_engine)):
            pools.install(engine)
        with self.engine.connect() as connection:
            self._exact = batches.compares_exactly(connection)
        # By id, as they were last: PostgreSQL compares them when it makes a run.
        self._experiments: dict[int, Experiment] = {}

    def create_run(
        self,
        experiment_id: str,
        user_id: str,
        start_time: int,
        tags: list[RunTag] | None,
        run_name: str | None,
    ) -> Run:
        """Make a run, and return it.

        Raises:
            MlflowException: as MLflow's store does.
        """
        if not experiment_id:
            # MLflow takes the default experiment's place for the run, and then no experiment.
            return super().create_run(experiment_id, user_id, start_time, tags, run_name)
        number = _parse_experiment_id(experiment_id)
        tags = [*(tags or ())]
        named = _get_run_name_from_tags(tags)
        differ = bool(run_name and named and run_name != named)
        name = run_name or named or _generate_random_name()
        if not named:
            tags.append(RunTag(MLFLOW_RUN_NAME, name))

        def planned(experiment: Experiment) -> RunInfo:
            if differ:
                raise MlflowException(
                    "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
                    f"different values (run_name='{run_name}', mlflow.runName='{named}').",
                    INVALID_PARAMETER_VALUE,
                )
            run_id = uuid.uuid4().hex
            return RunInfo(
                run_id=run_id,
                run_name=name,
                experiment_id=str(experiment_id),
                user_id=user_id,
                status=RunStatus.to_string(RunStatus.RUNNING),
                start_time=start_time,
                end_time=None,
                lifecycle_stage=LifecycleStage.ACTIVE,
                artifact_uri=append_to_uri_path(
                    experiment.artifact_location, run_id, self.ARTIFACTS_FOLDER_NAME
                ),
            )

        with self.ManagedSessionMaker(read_only=False) as session:
            if self._at_once:
                # MLflow looks at the experiment before it looks at the names.
                known = None if differ else self._experiments.get(number)
                with committing(session) as connection:
                    info = self._create_at_once(connection, number, known, planned, tags)
            else:
                connection = session.connection()
                info = planned(self._experiment(connection, number))
                run_rows.create(connection, info, number, tags)
        return Run(info, RunData(tags=tags), RunInputs(dataset_inputs=[]))

    def _create_at_once(
        self,
        connection: Connection,
        number: int,
        known: Experiment | None,
        planned: Callable[[Experiment], RunInfo],
        tags: list[RunTag],
    ) -> RunInfo:
        """Make a run of an experiment that is known, or else is read first."""
        expected = known or self._experiment(connection, number)
        while True:
            info = planned(expected)
            found = run_rows.create_at_once(connection, info, tags, expected, self._workspace())
            if found == expected:
                self._remember(expected)
                return info
            expected = self._usable(found, number)

    def _experiment(self, connection: Connection, number: int) -> Experiment:
        found = run_rows.read_experiment(connection, number, self._workspace())
        return self._usable(found, number)

    def update_run_info(
        self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None
    ) -> RunInfo:
        """Change a run, and return what it is then.

        Raises:
            MlflowException: as MLflow's store does.
        """
        changes: dict[str, Any] = {}
        if run_status is not None:
            changes["status"] = RunStatus.to_string(run_status)
        if end_time is not None:
            changes["end_time"] = end_time
        batch = self._batch(tags=[RunTag(MLFLOW_RUN_NAME, run_name)])
        batch.changes |= changes
        found = self._log(run_id, batch)
        now = {**vars(found), **batch.changes}
        return RunInfo(
            run_id=found.run_uuid,
            run_name=now["name"] or self.get_run(run_id).info.run_name,
            experiment_id=str(found.experiment_id),
            user_id=found.user_id,
            status=now["status"],
            start_time=found.start_time,
            end_time=now["end_time"],
            lifecycle_stage=found.lifecycle_stage,
            artifact_uri=found.artifact_uri,
        )

    def get_run(self, run_id: str) -> Run:
        """Return all of a run.

        Raises:
            MlflowException: as MLflow's store does.
        """
        if not self._at_once:
            return super().get_run(run_id)
        with self.ManagedSessionMaker() as session, committing(session) as connection:
            run = run_rows.read_at_once(connection, run_id, self._workspace())
            if run is None:
                raise _no_run(run_id)
            return run

    def experiment_of(self, run_id: str) -> str:
        """Return the id of a run's experiment, without the rest of the run.

        Raises:
            MlflowException: as :meth:`get_run` does.
        """
        with self.ManagedSessionMaker() as session, committing(session) as connection:
            experiment = run_rows.read_experiment_of(connection, run_id, self._workspace())
            if experiment is None:
                raise _no_run(run_id)
            return str(experiment)

    @_where_names_are_exact
    def log_batch(
        self, run_id: str, metrics: list[Metric], params: list[Param], tags: list[RunTag]
    ) -> None:
        """Log metrics, params and tags to a run.

        Raises:
            MlflowException: as MLflow's store does.
        """
        _validate_run_id(run_id)
        metrics, params, tags = _validate_batch_log_data(metrics, params, tags)
        _validate_batch_log_limits(metrics, params, tags)
        _validate_param_keys_unique(params)
        if any(metric.model_id is not None for metric in metrics):
            found = self._log(run_id, self._batch(metrics, params), params)
            self._log_model_metrics(run_id, metrics, experiment_id=found.experiment_id)
            metrics, params = [], []
        self._log(run_id, self._batch(metrics, params, tags), params)

    @_where_names_are_exact
    def log_param(self, run_id: str, param: Param) -> None:
        """Log a param to a run.

        Raises:
            MlflowException: as MLflow's store does.
        """
        param = _validate_param(param.key, param.value)
        self._log(run_id, self._batch(params=[param]), param)

    @_where_names_are_exact
    def set_tag(self, run_id: str, tag: RunTag) -> None:
        """Set a tag of a run.

        Raises:
            MlflowException: as MLflow's store does.
        """
        self._log(run_id, self._batch(tags=[_validate_tag(tag.key, tag.value)]))

    @_where_names_are_exact
    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        """Log metrics to a run: MLflow's :meth:`log_metric` calls this."""
        for index, metric in enumerate(metrics):
            path = "" if len(metrics) == 1 else f"metrics[{index}]"
            _validate_metric(metric.key, metric.value, metric.timestamp, metric.step, path=path)
        self._log(run_id, self._batch(metrics))

    def _batch(
        self,
        metrics: Iterable[Metric] = (),
        params: Iterable[Param] = (),
        tags: Iterable[RunTag] = (),
    ) -> Batch:
        points = ((metric, *self.sanitize_metric_value(metric.value)) for metric in metrics)
        return batches.batch(points, params, tags)

    def _log(self, run_id: str, batch: Batch, params: list[Param] | Param = ()) -> Found:
        """Write a batch, and return what the database had of the run.

        Args:
            run_id: The run.
            batch: What is written.
            params: The params of the batch as they were given: those of a batch, or a single one.
        """
        return self._run_with_deadlock_retry(self._log_once, run_id, batch, params)

    def _log_once(self, run_id: str, batch: Batch, params: list[Param] | Param) -> Found:
        for _ in range(_MOST_RACES):
            try:
                return self._log_in_transaction(run_id, batch, params)
            except MlflowException as error:
                if not (params and isinstance(error.__cause__, IntegrityError)):
                    raise
                # Another client has logged one of the params since: it is found the next time.
        return self._log_in_transaction(run_id, batch, params)

    def _log_in_transaction(self, run_id: str, batch: Batch, params: list[Param] | Param) -> Found:
        workspace = self._workspace()
        with self.ManagedSessionMaker(read_only=False) as session:
            if self._at_once:
                with committing(session) as connection:
                    found = batches.write_at_once(connection, run_id, workspace, batch)
                return self._checked(run_id, found, params)
            connection = session.connection()
            found = batches.read(connection, run_id, workspace, batch)
            found = self._checked(run_id, found, params)
            batches.write(connection, found, batch)
            return found

    @property
    def _at_once(self) -> bool:
        return self._get_dialect() == "postgresql"

    def _workspace(self) -> str | None:
        return self._get_active_workspace() if self.supports_workspaces else None

    def _usable(self, found: Experiment | None, number: int) -> Experiment:
        if found is None:
            raise MlflowException(f"No Experiment with id={number} exists", RESOURCE_DOES_NOT_EXIST)
        self._check_experiment_is_active(found)
        return found

    def _remember(self, experiment: Experiment) -> None:
        if len(self._experiments) >= _MOST_EXPERIMENTS:
            self._experiments.clear()
        self._experiments[experiment.experiment_id] = experiment

    def _checked(self, run_id: str, found: Found | None, params: list[Param] | Param) -> Found:
        if found is None:
            raise _no_run(run_id)
        self._check_run_is_active(found)
        if isinstance(params, Param):
            known = found.params.get(params.key, params.value)
            if known != params.value:
                raise MlflowException(
                    f"Changing param values is not allowed. Param with key='{params.key}' was "
                    f"already logged with value='{known}' for run ID='{run_id}'. "
                    f"Attempted logging new value '{params.value}'.",
                    INVALID_PARAMETER_VALUE,
                )
            return found
        changed = [
            {"key": param.key, "old_value": found.params[param.key], "new_value": param.value}
            for param in params
            if found.params.get(param.key, param.value) != param.value
        ]
        if changed:
            raise MlflowException(
                "Changing param values is not allowed. Params were already "
                f"logged='{changed}' for run ID='{run_id}'.",
                INVALID_PARAMETER_VALUE,
            )
        return found


def _no_run(run_id: str) -> MlflowException:
    return MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
