"""A large artifact to each store and back, through the server and past it, and what that costs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components._kubernetes.network_policies import client_labels
from tests.e2e import processes
from tests.e2e.kubectl import Kubectl, ready
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

SIZE = 1_000_000_000
_SCRIPT = Path(__file__).with_name("transfer.py")
_POD = "transfer"
# Often enough to see what lasts for a part of a transfer; reading it takes the kernel some 5 ms.
_EVERY_SECONDS = 0.3


@dataclass
class Memory:
    """The share of memory (PSS) of a pod's processes, watched by a thread."""

    pod: dict[str, Any]
    seen: list[float] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while something is done."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_EVERY_SECONDS):
                self._look()

        self._look()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _look(self) -> None:
        self.seen.append(sum(map(processes.memory, processes.of_pod(self.pod))) / 1024)

    @property
    def most(self) -> float:
        """The most at any time, in MiB."""
        return max(self.seen)

    @property
    def last(self) -> float:
        """That of the last look, in MiB."""
        return self.seen[-1]

    @property
    def growth(self) -> float:
        """How much more than at first, in MiB."""
        return max(self.seen) - self.seen[0]


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
    server = stack.kubectl.pod("mlflow")
    _start_pod(stack.kubectl, server, store)
    # What any first transfer makes, connections and code, is not the transfer's.
    _move(stack, 1_000_000, "")
    memory = Memory(server)
    with memory.watched():
        proxied = _move(stack, SIZE, "")
    direct = _move(stack, SIZE, f"{stack.outputs()['artifact_root']}/transfer")
    stack.kubectl("delete", "pod", _POD, "--grace-period=0", "--force")
    speed = SIZE / 1e6
    return Transfers(
        up=speed / proxied["up"],
        down=speed / proxied["down"],
        direct_up=speed / direct["up"],
        direct_down=speed / direct["down"],
        growth=memory.growth,
    )


def _move(stack: Stack, size: int, root: str) -> dict[str, float]:
    client_env = stack.client_env_in_cluster()
    answer = stack.kubectl.python(_POD, _SCRIPT, str(size), root, seconds=600, **client_env)
    found: dict[str, float] = json.loads(answer.splitlines()[-1])
    return found


def _start_pod(kubectl: Kubectl, server: dict[str, Any], store: str) -> None:
    (container,) = server["spec"]["containers"]
    spec = {
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
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    wait_until(lambda: ready(kubectl.json("get", "pod", _POD)), 90, "the pod runs")
