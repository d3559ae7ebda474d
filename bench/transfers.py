"""Moves a large artifact to a store and back, through the server and past it."""

import json
from dataclasses import dataclass
from typing import Any

from components._kubernetes.network_policies import client_labels
from harness.clients import SCRIPTS
from harness.kubectl import Kubectl, ready
from harness.pod_memory import Memory
from harness.stack import Stack
from harness.waiting import wait_until

SIZE = 1_000_000_000
_SCRIPT = SCRIPTS / "transfer_one_file.py"
_POD = "transfer"


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
    # The first transfer makes connections and imports code, which are not the transfer's growth.
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
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    wait_until(lambda: ready(kubectl.json("get", "pod", _POD)), 90, "the pod runs")
