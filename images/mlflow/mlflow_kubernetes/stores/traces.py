"""A trace stays in its first experiment.

When a client sends a trace or spans with an id that exists, MLflow's store moves the existing trace
to the experiment that the client names, whoever owns the first experiment.
"""

from collections.abc import Iterable
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.store.tracking.dbmodels.models import SqlTraceInfo
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore

from mlflow_kubernetes.stores import searches


class Store(searches.Store):
    """The store of runs, which refuses to move a trace."""

    def start_trace(self, trace_info: Any) -> Any:
        """Store a trace, unless another experiment has a trace of this id."""
        _refuse_others(self, trace_info.experiment_id, [trace_info.trace_id])
        return super().start_trace(trace_info)

    def log_spans(self, location: str, spans: list[Any], tracking_uri: str | None = None) -> Any:
        """Store spans, unless another experiment has a trace of one of their ids."""
        _refuse_others(self, location, {span.trace_id for span in spans})
        try:
            return super().log_spans(location, spans, tracking_uri)
        except Exception:
            self.get_experiment(location)  # raises, if the experiment does not exist
            raise


class WorkspaceStore(Store, WorkspaceAwareSqlAlchemyStore):
    """The same for a server with MLFLOW_ENABLE_WORKSPACES."""


def _refuse_others(store: SqlAlchemyStore, experiment: str, traces: Iterable[str]) -> None:
    """Raise MlflowException if one of the traces is in another experiment."""
    # No experiment has the id -1.
    named = int(experiment) if str(experiment).isdecimal() else -1
    with store.ManagedSessionMaker(read_only=True) as session:
        other = (
            session.query(SqlTraceInfo.request_id)
            .filter(SqlTraceInfo.request_id.in_(traces))
            .filter(SqlTraceInfo.experiment_id != named)
            .first()
        )
    if other:
        message = (
            f"Trace {other[0]} is in another experiment, and stays there; accepted: a trace of "
            "this experiment, or an id that no trace has"
        )
        raise MlflowException(message, error_code=PERMISSION_DENIED)
