"""`mlflow server`, in one process that imports MLflow once and then forks its workers.

MLflow starts uvicorn as a child, and uvicorn starts each worker as a new interpreter: MLflow's own
process and every worker import the same 160 MB again. Here, a fork of this process runs MLflow's
command until the command would start uvicorn. Meanwhile this process imports what the workers need.
The fork then hands over the command and the environment, and this process becomes uvicorn, which
forks its workers after the import (server/workers.py).

The command line and the environment are those of `mlflow server`. One variable is added: it names
the database of users, for which MLflow has no variable.
"""

import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

MEANWHILE = (
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.demo",
    "fastapi",
    "flask",
    "graphene",
    "psycopg2",
    "uvicorn.main",
    "mlflow_kubernetes.stores",
)
"""Modules of the workers that read no variable which MLflow's command sets. The package
mlflow.server reads such variables when it is imported."""
# New objects until the next collection.
_OBJECTS = 20_000
_WORKERS = "mlflow_kubernetes.server.workers"


def main() -> None:
    """Have MLflow's command check and prepare everything, then serve."""
    # The first process of a container ignores SIGTERM while it has no handler: a pod that waits for
    # its database would stay for its grace period. uvicorn, or MLflow, sets handlers of its own.
    signal.signal(signal.SIGTERM, _end)
    # While modules are imported, collections free little, and take a tenth of the time. Without any
    # collection, each worker takes 5 MiB more.
    thresholds = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *thresholds[1:])
    variables = importlib.import_module("mlflow.environment_variables")
    if variables.MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        # MLflow's process stays, to start the runners of jobs once the server runs.
        _run_command(_start_child)
        return
    reader, writer = os.pipe()
    fork = os.fork()
    if not fork:
        os.close(reader)
        _run_command(partial(_hand_over, writer))
        return
    os.close(writer)
    for module in MEANWHILE:
        importlib.import_module(module)
    with os.fdopen(reader) as pipe:
        handed_over = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    if not handed_over:
        # The fork has said why.
        sys.exit(abs(status) or 1)
    command, environment = json.loads(handed_over)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command[2:]
    gc.set_threshold(*thresholds)
    importlib.import_module(_WORKERS).main()


def _end(number: int, _: object) -> NoReturn:
    """End at once, because nothing is served yet. Within a container, the fork ends as well."""
    os._exit(128 + number)


def _run_command(start: Callable[..., Any]) -> None:
    """Run MLflow's command, with ``start`` in the place of what starts uvicorn."""
    from mlflow import cli, server  # noqa: PLC0415 (only in the process that runs the command)

    from mlflow_kubernetes.login import basic_auth  # noqa: PLC0415
    from mlflow_kubernetes.patches import registry  # noqa: PLC0415
    from mlflow_kubernetes.server import migrated, trust  # noqa: PLC0415
    from mlflow_kubernetes.support import database_timeouts  # noqa: PLC0415
    from mlflow_kubernetes.support.environment import fail  # noqa: PLC0415

    if problem := registry.check(["serve"]):
        fail(problem)
    database_timeouts.install()
    server._exec_cmd = partial(start, server._exec_cmd)
    trust.install()
    arguments = sys.argv[1:]
    if "--app-name=basic-auth" in arguments:
        basic_auth.configure()
    migrated.wait_for_schemas()
    cli.cli(["server", *arguments], prog_name="mlflow")


def _start_child(
    start: Callable[..., Any], command: list[str], *, extra_env: dict[str, str], **options: Any
) -> Any:
    """Start uvicorn as a child, as MLflow does, or another program of MLflow's."""
    return start(_of_workers(command), extra_env=extra_env, **options)


def _hand_over(
    writer: int, _: object, command: list[str], *, extra_env: dict[str, str], **__: Any
) -> NoReturn:
    """Tell the process that serves the command and the environment of uvicorn, and end."""
    with os.fdopen(writer, "w") as pipe:
        json.dump([_of_workers(command), {**os.environ, **extra_env}], pipe)
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the handlers of `atexit`, which the process that serves has as well.
    os._exit(0)


def _of_workers(command: list[str]) -> list[str]:
    if command[1:3] != ["-m", "uvicorn"]:
        return command
    return [sys.executable, "-m", _WORKERS, *command[3:]]


if __name__ == "__main__":
    main()
