"""`mlflow server`, with workers that share the memory of what they all import.

MLflow starts uvicorn as a child, and uvicorn starts each worker as a new interpreter: MLflow's own
process and every worker import the same 160 MB again. Here MLflow's process becomes uvicorn, and
uvicorn forks its workers after the import (server/workers.py).
The command line and the environment are those of `mlflow server`. One variable is added: it names
the database of users, for which MLflow has no variable.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from mlflow import cli, server
from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION

from mlflow_kubernetes.login import basic_auth
from mlflow_kubernetes.patches import registry
from mlflow_kubernetes.server import migrated, trust
from mlflow_kubernetes.support import database_timeouts
from mlflow_kubernetes.support.environment import fail


def main() -> None:
    """Check and prepare as MLflow does, then serve."""
    if problem := registry.check(["serve"]):
        fail(problem)
    database_timeouts.install()
    server._exec_cmd = partial(_start, server._exec_cmd)
    trust.install()
    arguments = sys.argv[1:]
    if "--app-name=basic-auth" in arguments:
        basic_auth.configure()
    migrated.wait_for_schemas()
    cli.cli(["server", *arguments], prog_name="mlflow")


def _start(
    start_child: Callable[..., Any],
    command: list[str],
    *,
    extra_env: dict[str, str],
    **options: Any,
) -> Any:
    if command[1:3] == ["-m", "uvicorn"]:
        command = [sys.executable, "-m", "mlflow_kubernetes.server.workers", *command[3:]]
        # Otherwise MLflow's process stays, to start the job runners once the server runs.
        if not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
            os.execve(command[0], command, {**os.environ, **extra_env})  # noqa: S606 (no shell)
    return start_child(command, extra_env=extra_env, **options)


if __name__ == "__main__":
    main()
