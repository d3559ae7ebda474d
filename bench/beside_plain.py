"""This project's server with and without a login, compared with a plain `mlflow server`.

The plain server has as many workers, and no job runners: with MLflow's own 4 workers and
its job runners, it does not fit into the memory of the pod.
"""

import json
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import load
from bench.load import Load
from harness.stack import Stack
from harness.waiting import wait_until

PAIRS = 8
"""How often the three servers are measured, in turn."""
SECONDS = 6.0
CLIENTS = (8, 32)
# The container's variables that a plain server needs. The others tune this project's server.
_KEPT = ("HOME", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION")
# Without our package on the path, MLflow finds no plugin of ours. MLflow's own check of hosts does
# not know the networks among our allowed hosts.
_OWN = {"PYTHONPATH": "", "MLFLOW_SERVER_ALLOWED_HOSTS": "*"}
_WORKERS = 2
_ROLLOUT_SECONDS = 300
_INGRESS_SECONDS = 60


@dataclass(frozen=True)
class Turn:
    """The load of each server in one turn."""

    login: Load
    open: Load
    plain: Load


def measure(home: Path, namespace: str, own: Stack) -> dict[int, list[Turn]]:
    """Measure the three servers in turn, by the number of clients.

    Args:
        home: a folder for the stacks that are made.
        namespace: what their namespaces begin with.
        own: a stack with a login, which is up. The others have the same kind of database.
    """
    with ExitStack() as made:
        opened = made.enter_context(without_login(home, f"{namespace}-open", own))
        plain = made.enter_context(without_login(home, f"{namespace}-plain", own))
        serve_plainly(plain)
        servers = (own, opened, plain)
        for each in servers:
            # The first requests cost more. The ingress controller knows a new pod after a while.
            wait_until(
                partial(_answers, each), _INGRESS_SECONDS, "the ingress controller knows the server"
            )
        return {
            clients: [
                Turn(*(load.measure(each, clients, SECONDS) for each in servers))
                for _ in range(PAIRS)
            ]
            for clients in CLIENTS
        }


def _answers(server: Stack) -> bool:
    return load.measure(server, CLIENTS[0], 2).failed == 0


@contextmanager
def without_login(home: Path, namespace: str, own: Stack) -> Generator[Stack]:
    """Bring a stack without a login up, in a folder of ``home``, and remove it at the end."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        stack = Stack.create(Path(folder), own.environment, namespace, own.database)
        # A run that was killed may have left its namespace.
        stack.kubectl("delete", "namespace", namespace, "--ignore-not-found", seconds=180)
        stack.set(auth="none", serverPods="{}")
        try:
            stack.change("up")
            yield stack
        finally:
            stack.remove()


def serve_plainly(stack: Stack) -> None:
    """Replace a stack's server by `mlflow server` in the same image and pod.

    The stores stay those of the stack: MLflow reads their addresses from the environment too.
    """
    deployment = stack.kubectl.json("get", "deployment", "mlflow")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["command"] = ["mlflow", "server"]
    container["args"] = ["--host=0.0.0.0", "--port=5000", f"--workers={_WORKERS}"]
    container["env"] = [{"name": name, "value": value} for name, value in _OWN.items()] + [
        each for each in container["env"] if each["name"] in _KEPT
    ]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        container[probe]["httpGet"]["path"] = "/health"
    stack.kubectl("replace", "--filename=-", stdin=json.dumps(deployment))
    rollout = ("rollout", "status", "deployment/mlflow", f"--timeout={_ROLLOUT_SECONDS}s")
    stack.kubectl(*rollout, seconds=_ROLLOUT_SECONDS + 10)
