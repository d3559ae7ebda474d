"""Runs are written in few statements, with MLflow's own results.

See batches.py for the statements. Two results differ from those of MLflow's store, which commits
params, metrics and tags one after the other: a batch that the database refuses leaves nothing, and
two clients that log the same params at the same time are answered by MLflow's rule for params.
"""

from collections.abc import Iterable

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.validation import (
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
from sqlalchemy.orm import Session

from mlflow_kubernetes.stores import batches
from mlflow_kubernetes.stores.batches import Batch, Found

_BAD_REQUEST = ErrorCode.Name(BAD_REQUEST)


class Store(SqlAlchemyStore):
    """MLflow's store, which writes runs in few statements."""

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

    def log_param(self, run_id: str, param: Param) -> None:
        """Log a param to a run.

        Raises:
            MlflowException: as MLflow's store does.
        """
        param = _validate_param(param.key, param.value)
        self._log(run_id, self._batch(params=[param]), param)

    def set_tag(self, run_id: str, tag: RunTag) -> None:
        """Set a tag of a run.

        Raises:
            MlflowException: as MLflow's store does.
        """
        self._log(run_id, self._batch(tags=[_validate_tag(tag.key, tag.value)]))

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
        try:
            return self._log_in_transaction(run_id, batch, params)
        except MlflowException as error:
            if not (params and isinstance(error.__cause__, IntegrityError)):
                raise
            # Another client has logged one of the params since: now it is found.
            return self._log_in_transaction(run_id, batch, params)

    def _log_in_transaction(self, run_id: str, batch: Batch, params: list[Param] | Param) -> Found:
        workspace = self._get_active_workspace() if self.supports_workspaces else None
        with self.ManagedSessionMaker(read_only=False) as session:
            if self._at_once:
                found = batches.write_at_once(_autocommit(session), run_id, workspace, batch)
                return self._checked(run_id, found, params)
            connection = session.connection()
            found = batches.read(connection, run_id, workspace, batch)
            found = self._checked(run_id, found, params)
            batches.write(connection, found, batch)
            return found

    @property
    def _at_once(self) -> bool:
        return self._get_dialect() == "postgresql"

    def _checked(self, run_id: str, found: Found | None, params: list[Param] | Param) -> Found:
        if found is None:
            raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
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


def _autocommit(session: Session) -> Connection:
    """Return the session's connection, which commits each statement without a round trip."""
    return session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
