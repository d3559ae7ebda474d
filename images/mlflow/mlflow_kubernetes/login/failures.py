"""Why a user could not be read: MLflow's login takes such a user for one who was deleted."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

_failures: ContextVar[list[MlflowException] | None] = ContextVar("failures", default=None)


@contextmanager
def noted() -> Generator[None]:
    """Note a failure of the block, unless it says that the user does not exist."""
    try:
        yield
    except MlflowException as error:
        failures = _failures.get()
        if failures is not None and error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            failures.append(error)
        raise


@contextmanager
def raised() -> Generator[None]:
    """Raise what was noted in the block, at its end.

    MLflow compares the password, and then reads the user. It answers "wrong password" to each
    failure of the second step, and no client repeats a call after that answer.
    """
    failures: list[MlflowException] = []
    token = _failures.set(failures)
    try:
        yield
    finally:
        _failures.reset(token)
    if failures:
        raise failures[0]
