"""The storage class `standard`: local-path-provisioner makes a folder for each claim.

The provisioner is a process of the node. Each folder is made and removed by a short-lived pod.
"""

import json
from collections.abc import Sequence

from lab import credentials, paths
from lab.machines import Machine
from lab.processes import write
from lab.tools import program

CLASS = "standard"
_NAMESPACE = "local-path-storage"
PROVISIONER = "mlflow-lab/folders"  # existing labs have this name, which a class cannot change
# With another ending, the provisioner reads the name as settings.
_CONFIG = paths.NODE_DIR / "local-path.json"
_HELPER_POD = paths.NODE_DIR / "local-path-pod.json"


def binding(machines: Sequence[Machine]) -> str:
    """Return when a claim is bound: where there are several nodes, when a pod has chosen one."""
    return "Immediate" if len(machines) == 1 else "WaitForFirstConsumer"


def on(machine: Machine) -> dict[str, object]:
    """Return what a volume's object says of the node that the volume is on."""
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [machine.node]}
    terms = [{"matchExpressions": [node]}]
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}


def configure(image: str, machines: Sequence[Machine]) -> None:
    """Write the provisioner's settings; `image` holds the commands /setup and /teardown."""
    folders = [{"node": machine.node, "paths": [str(machine.volumes)]} for machine in machines]
    # A shared file system needs no chosen node, so claims bind before a pod mounts them.
    shared = {"sharedFileSystemPath": str(paths.VOLUMES)}
    config = {
        **(shared if len(machines) == 1 else {"nodePathMap": folders}),
        "setupCommand": "/setup",
        "teardownCommand": "/teardown",
        # After this time, the provisioner makes a helper pod again that ended with the node.
        "cmdTimeoutSeconds": 20,
    }
    container = {
        "name": "helper-pod",
        "image": image,
        "securityContext": {"runAsUser": 0},
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    write(_CONFIG, json.dumps(config))
    write(_HELPER_POD, json.dumps(pod))


def command() -> list[str]:
    """Return the command that makes and removes volumes."""
    return [
        str(program("local-path-provisioner")),
        "start",
        f"--kubeconfig={credentials.kubeconfig('admin')}",
        f"--config={_CONFIG}",
        f"--helper-pod-file={_HELPER_POD}",
        f"--provisioner-name={PROVISIONER}",
        f"--namespace={_NAMESPACE}",
        "--service-account-name=default",
        # 0: the provisioner repeats a failed claim, or a failed removal, without a limit.
        "--provisioning-retry-count=0",
        "--deletion-retry-count=0",
    ]
