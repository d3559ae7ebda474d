"""uvicorn, with workers that are forked after the import of what they serve.

The process that forks the workers would keep a copy of each page of memory that a worker writes to,
even if the worker only counts a reference: 80 MiB in all. Because this process needs none of that
memory, it replaces itself by a small program (supervise.py), which gets the workers' process ids.
"""

import gc
import importlib
import os
import socket
import sys
from typing import Any

import psycopg2  # noqa: F401 (before the fork: MLflow would import it in each worker)
import uvicorn
from sqlalchemy import orm

from mlflow_kubernetes import stores
from mlflow_kubernetes.login import basic_auth
from mlflow_kubernetes.patches import registry
from mlflow_kubernetes.server.supervise import SOCKET
from mlflow_kubernetes.support.environment import fail

# MLflow imports these modules when a request first needs them. Two threads that import at the same
# time can wait for each other for ever: one for a module, one for the lock of MLflow's import hooks
# (mlflow/utils/import_hooks). Imported here, the modules take 7 MiB, which the workers share.
_LATE = (
    "mlflow.demo",
    "mlflow.server.graphql.graphql_schema_extensions",
    "mlflow.server.jobs.utils",
)


class Workers:
    """Takes the place of the class with which uvicorn starts several workers."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self._config = config
        self._sockets = sockets

    def run(self) -> None:
        """Fork the workers and go on as their supervisor; return in a worker that has ended."""
        if SOCKET in os.environ:
            uvicorn.Server(self._config).run(self._sockets)
            return
        workers = []
        for _ in range(self._config.workers):
            worker = os.fork()
            if not worker:
                uvicorn.Server(self._config).run(self._sockets)
                return
            workers.append(str(worker))
        listening = self._sockets[0].fileno()
        os.set_inheritable(listening, True)
        os.environ[SOCKET] = str(listening)
        # -S: the supervisor needs no installed package.
        program = [sys.executable, "-S", "-m", "mlflow_kubernetes.server.supervise"]
        os.execv(program[0], [*program, ",".join(workers), *sys.argv[1:]])  # noqa: S606 (no shell)


def _shared_socket() -> socket.socket | None:
    """Return the socket of the workers that run already, or None for the first ones."""
    return socket.socket(fileno=int(os.environ[SOCKET])) if SOCKET in os.environ else None


def main() -> None:
    """Take the arguments of uvicorn's own command."""
    if problem := registry.check(login=basic_auth.configured()):
        fail(problem)
    # A patch whose target is missing cannot even be imported.
    from mlflow_kubernetes.patches import installation  # noqa: PLC0415

    installation.install()
    for module in (sys.argv[-1].partition(":")[0], *_LATE):
        importlib.import_module(module)
    if problem := stores.problem():
        fail(problem)
    if basic_auth.configured():
        installation.install_with_login()
    orm.configure_mappers()
    # A collection would write to all that was imported, and each worker would get its own copy.
    gc.collect()
    gc.freeze()
    # By name: the package has a function called main in the module's place.
    command: Any = importlib.import_module("uvicorn.main")
    command.Multiprocess = Workers
    bind: Any = uvicorn.Config.bind_socket
    uvicorn.Config.bind_socket = lambda config: _shared_socket() or bind(config)  # type: ignore[method-assign]
    arguments = [*sys.argv[1:-1], "--factory", "mlflow_kubernetes.server.application:create"]
    command.main(arguments, prog_name="uvicorn")


if __name__ == "__main__":
    main()
