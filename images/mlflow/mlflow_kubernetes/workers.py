"""uvicorn, with workers that are forked after the import of what they serve.

Whoever forked them holds a copy of each page that a worker has written to since, and be it only to
count a reference: 80 MiB of its own, for nothing. So it becomes a small program (supervise.py)
that knows their numbers.
"""

import gc
import importlib
import os
import socket
import sys
from typing import Any

import psycopg2  # noqa: F401 (like boto3 in s3.py: MLflow would import it in each worker)
import uvicorn
from sqlalchemy import orm

from mlflow_kubernetes import (
    auth,
    bad_input,
    bridge,
    downloads,
    egress,
    granted,
    locations,
    memory,
    names,
    patience,
    traces,
    uploads,
    webhooks,
)
from mlflow_kubernetes.supervise import SOCKET

# MLflow imports these when a request first needs them. Two threads that did so at once were seen to
# wait for each other for good, one for a module, one for the lock of MLflow's import hooks
# (mlflow/utils/import_hooks). All together take 7 MiB, which the workers share.
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
        # -S: it needs nothing that is installed.
        program = [sys.executable, "-S", "-m", "mlflow_kubernetes.supervise", ",".join(workers)]
        os.execv(program[0], [*program, *sys.argv[1:]])  # noqa: S606 (no shell)


def _listen(config: uvicorn.Config) -> socket.socket:
    """Return the socket that is shared with the workers that run, or a new one."""
    if SOCKET in os.environ:
        return socket.socket(fileno=int(os.environ[SOCKET]))
    return _bind(config)


_bind: Any = uvicorn.Config.bind_socket


def main() -> None:
    """Take the arguments of uvicorn's own command."""
    memory.install()
    names.install()
    downloads.install()
    uploads.install()
    bridge.install()
    patience.install()
    locations.install()
    bad_input.install()
    traces.install()
    granted.install()
    egress.install()
    webhooks.install()
    for module in (sys.argv[-1].partition(":")[0], *_LATE):
        importlib.import_module(module)
    auth.close()
    traces.close()
    granted.open_models()
    orm.configure_mappers()
    # A collection would write to all that was imported, and each worker would get its own copy.
    gc.collect()
    gc.freeze()
    # By name: the package has a function called main in the module's place.
    command: Any = importlib.import_module("uvicorn.main")
    command.Multiprocess = Workers
    uvicorn.Config.bind_socket = _listen  # type: ignore[method-assign]
    arguments = [*sys.argv[1:-1], "--factory", "mlflow_kubernetes.application:create"]
    command.main(arguments, prog_name="uvicorn")


if __name__ == "__main__":
    main()
