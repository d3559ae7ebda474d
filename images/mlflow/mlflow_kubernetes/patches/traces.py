"""Spans that arrive by OpenTelemetry: checked for their sender's rights, and not lost on the way.

MLflow answers 422 where the database does not answer. Exporters send such spans never again. The
answer here is 503, on which they do.

Spans may name a run, and MLflow does not check the sender's permission for that run. MLflow answers
"Permission denied" when a client sends the name of an experiment in the place of its id. The answer
here says what is wrong, and what is accepted.
"""

import asyncio
import functools
import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, HTTPException
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.server import otel_api
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

_RUN = "x-mlflow-run-id"
_EXPERIMENT = "x-mlflow-experiment-id"


def install() -> None:
    """Refuse spans that do not name their experiment by its id; tell when to send them again."""
    # FastAPI reads the router when MLflow makes its application, which is later.
    router = otel_api.otel_router
    router.routes.clear()
    router.add_api_route("", _export, methods=["POST"], dependencies=[Depends(_ask_for_an_id)])


def install_with_login() -> None:
    """Check the permission for the run that spans name; in effect for applications made later."""
    server: Any = importlib.import_module("mlflow.server.auth")
    validator_of = server._get_otel_validator

    def find(path: str) -> Callable[[str, Request], Awaitable[bool]]:
        validate = validator_of(path)

        async def validator(username: str, request: Request) -> bool:
            experiment, run = request.headers.get(_EXPERIMENT), request.headers.get(_RUN)
            if wrong := _no_id(experiment):
                raise MlflowException.invalid_parameter_value(wrong)
            # It looks at the database.
            if run and not await asyncio.to_thread(_may_update, server, username, run):
                return False
            if not await validate(username, request):
                raise MlflowException(
                    f"{username} may not add traces to experiment {experiment}, or there is none",
                    error_code=PERMISSION_DENIED,
                )
            return True

        return validator

    server._get_otel_validator = find


@functools.wraps(otel_api.export_traces)
async def _export(*arguments: Any, **named: Any) -> Any:
    try:
        return await otel_api.export_traces(*arguments, **named)
    except HTTPException as error:
        if isinstance(error.__cause__, SQLAlchemyError):
            # patches/bad_input.py answers.
            raise error.__cause__ from error
        raise


def _ask_for_an_id(request: Request) -> None:
    if wrong := _no_id(request.headers.get(_EXPERIMENT)):
        raise HTTPException(400, wrong)


def _no_id(experiment: str | None) -> str | None:
    if experiment and experiment.isdecimal():
        return None
    shown = repr(experiment)[:100] if experiment else "missing"
    return (
        f"header {_EXPERIMENT}: {shown}; expected the id of an experiment, a number, and not its "
        "name: mlflow.set_experiment(name).experiment_id"
    )


def _may_update(server: Any, username: str, run: str) -> bool:
    found = server._run_requirement(run, "update")
    return found is not None and bool(server.authorize(username, *found))
