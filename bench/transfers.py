"""Moves artifacts to a store and back: a large one through the server and past it, many small ones
through this project's server and through a plain one.
"""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import beside_plain
from components._kubernetes.network_policies import client_labels
from harness.clients import SCRIPTS
from harness.kubectl import ready
from harness.pod_memory import Memory
from harness.stack import Stack
from harness.waiting import wait_until

SIZE = 1_000_000_000
SMALL, FILES = 10_000, 200
"""Bytes of a small file, and their number."""
PAIRS = 8
"""How often the small files are moved through each server, in turn."""
_SCRIPT = SCRIPTS / "transfer_files.py"
_POD = "transfer"


@dataclass(frozen=True)
class Moved:
    """Seconds of each way."""

    up: float
    down: float


@dataclass(frozen=True)
class Transfers:
    """MB/s up and down through the server and past it, and the server's growth in MiB."""

    up: float
    down: float
    direct_up: float
    direct_down: float
    growth: float


def measure(stack: Stack, store: str) -> Transfers:
    """Move 1 GB each way, from a pod beside the server, whose image has every store's client."""
    with _pod_beside(stack, store) as server:
        # The first transfer makes connections and imports code. The transfer does not grow by that.
        _move(stack, 1_000_000)
        memory = Memory(server)
        with memory.watched():
            proxied = _move(stack, SIZE)
        direct = _move(stack, SIZE, root=f"{stack.outputs()['artifact_root']}/transfer")
    speed = SIZE / 1e6
    return Transfers(
        up=speed / proxied.up,
        down=speed / proxied.down,
        direct_up=speed / direct.up,
        direct_down=speed / direct.down,
        growth=memory.growth,
    )


def small_files(home: Path, own: Stack) -> Iterator[tuple[Moved, Moved]]:
    """Move small files to MinIO through this project's server and through a plain one, in turn.

    Args:
        home: a folder for the stack of the plain server.
        own: a stack that is up.
    """
    with (
        beside_plain.without_login(home, f"{own.namespace}-plain", own) as plain,
        _pod_beside(own, "minio"),
        _pod_beside(plain, "minio"),
    ):
        beside_plain.serve_plainly(plain)
        for stack in (own, plain):
            _move(stack, SMALL, 10)
        for _ in range(PAIRS):
            yield _move(own, SMALL, FILES), _move(plain, SMALL, FILES)


def _move(stack: Stack, size: int, count: int = 1, root: str = "") -> Moved:
    client_env = stack.client_env_in_cluster()
    answer = stack.kubectl.python(
        _POD, _SCRIPT, str(size), str(count), root, seconds=600, **client_env
    )
    return Moved(**json.loads(answer.splitlines()[-1]))


@contextmanager
def _pod_beside(stack: Stack, store: str) -> Generator[dict[str, Any]]:
    """Run a pod with the server's image and the store's key; yield the server's pod."""
    server = stack.kubectl.pod("mlflow")
    (container,) = server["spec"]["containers"]
    spec: dict[str, object] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": server["spec"]["securityContext"],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "containers": [
            {
                "name": "transfer",
                "image": container["image"],
                "command": ["sleep", "infinity"],
                "envFrom": [{"secretRef": {"name": f"{store}-credentials"}}],
                "securityContext": container["securityContext"],
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 (in the pod)
            }
        ],
    }
    labels = client_labels("mlflow") | client_labels(store)
    metadata = {"name": _POD, "labels": labels}
    pod: dict[str, object] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    stack.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    wait_until(lambda: ready(stack.kubectl.json("get", "pod", _POD)), 90, "the pod runs")
    try:
        yield server
    finally:
        stack.kubectl("delete", "pod", _POD, "--grace-period=0", "--force")
