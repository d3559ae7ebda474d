"""Ends pods, and compares their containers with the former ones."""

import re

from harness.kubectl import Kubectl
from harness.waiting import wait_until


def delete_pod(kubectl: Kubectl, app: str) -> None:
    """Take a pod away with hardly any notice; another one has to take its place."""
    old = kubectl.pod(app)["metadata"]
    kubectl("delete", "pod", old["name"], "--grace-period=1", "--wait=false")
    wait_until(lambda: kubectl.pod(app)["metadata"]["uid"] != old["uid"], 90, f"a new {app} pod")


def container_ids(pod: dict[str, object]) -> list[str]:
    return sorted(re.findall(r"'containerID': '([^']+)'", str(pod["status"])))
