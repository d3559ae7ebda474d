"""`mlflow server`, with workers that share the memory of what they all import.

MLflow starts uvicorn as a child, and uvicorn starts each worker as a new interpreter: every one of
them, and MLflow's own process, imports the same 160 MB again. Here MLflow becomes uvicorn instead
of waiting for it, and uvicorn forks its workers after the import.
The command line and the environment stay those of `mlflow server`.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import sys
from typing import Any

_WORKERS = "--workers-of-mlflow"


def main() -> None:
    """Check and prepare as MLflow does, then serve."""
    if sys.argv[1:2] == [_WORKERS]:
        _serve(sys.argv[2:])
    else:
        _prepare(sys.argv[1:])


def _prepare(arguments: list[str]) -> None:
    from mlflow import cli, server

    start_child = server._exec_cmd

    def start(command: list[str], *, extra_env: dict[str, str], **options: Any) -> Any:
        ours = [sys.executable, "-m", "mlflow_kubernetes.serve", _WORKERS, *command[3:]]
        if command[1:3] != ["-m", "uvicorn"]:  # --gunicorn-opts
            return start_child(command, extra_env=extra_env, **options)
        if os.environ.get("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true").lower() != "false":
            # MLflow's process stays, to start the job runners once the server runs.
            return start_child(ours, extra_env=extra_env, **options)
        return os.execve(sys.executable, ours, {**os.environ, **extra_env})

    server._exec_cmd = start
    cli.cli(["server", *arguments], prog_name="mlflow")


def _serve(arguments: list[str]) -> None:
    import psycopg2  # noqa: F401 (SQLAlchemy imports it late)
    import uvicorn._subprocess
    import uvicorn.main
    from sqlalchemy import orm

    importlib.import_module(arguments[-1].partition(":")[0])
    orm.configure_mappers()
    # A collection would write to all that was imported, and each worker would get its own copy.
    gc.collect()
    gc.freeze()
    # Workers must not take their parent's handlers for the signals that it ends them with.
    os.register_at_fork(after_in_child=_restore_signals)
    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]
    sys.argv[0] = "uvicorn"
    uvicorn.main.main(arguments)


def _restore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
