"""Traces stay in the experiment that they began in, and are put to nobody else's runs.

MLflow takes a trace, or spans, under an id that there is already, for a writer that comes again;
and moves the trace to the experiment that is named this time, whoever owns the first. Spans that
come by OpenTelemetry may name a run, too, and whose that is it does not ask.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.store.tracking.dbmodels.models import SqlTraceInfo
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from starlette.requests import Request

from mlflow_kubernetes import auth

_RUN = "x-mlflow-run-id"
_start_trace: Any = SqlAlchemyStore.start_trace
_log_spans: Any = SqlAlchemyStore.log_spans


def install() -> None:
    """Refuse what MLflow accepts."""
    SqlAlchemyStore.start_trace = _start_where_it_is
    SqlAlchemyStore.log_spans = _log_where_it_is


def close() -> None:
    """Ask also for the run that spans are put to, in applications made after it."""
    if not auth.configured():
        return
    server: Any = importlib.import_module("mlflow.server.auth")
    validator_of = server._get_otel_validator

    def find(path: str) -> Callable[[str, Request], Awaitable[bool]]:
        validate = validator_of(path)

        async def validator(username: str, request: Request) -> bool:
            run = request.headers.get(_RUN)
            # It looks at the database.
            if run and not await asyncio.to_thread(_may_update, server, username, run):
                return False
            return bool(await validate(username, request))

        return validator

    server._get_otel_validator = find


def _may_update(server: Any, username: str, run: str) -> bool:
    found = server._run_requirement(run, "update")
    return found is not None and bool(server.authorize(username, *found))


def _start_where_it_is(store: SqlAlchemyStore, trace_info: Any) -> Any:
    _refuse_others(store, trace_info.experiment_id, [trace_info.trace_id])
    return _start_trace(store, trace_info)


def _log_where_it_is(
    store: SqlAlchemyStore, location: str, spans: list[Any], tracking_uri: str | None = None
) -> Any:
    _refuse_others(store, location, {span.trace_id for span in spans})
    return _log_spans(store, location, spans, tracking_uri)


def _refuse_others(store: SqlAlchemyStore, experiment: str, traces: Iterable[str]) -> None:
    named = int(experiment) if str(experiment).isdecimal() else -1  # which there never is
    with store.ManagedSessionMaker(read_only=True) as session:
        other = (
            session.query(SqlTraceInfo.request_id)
            .filter(SqlTraceInfo.request_id.in_(traces))
            .filter(SqlTraceInfo.experiment_id != named)
            .first()
        )
    if other:
        message = f"Trace {other[0]} is in another experiment"
        raise MlflowException(message, error_code=PERMISSION_DENIED)
