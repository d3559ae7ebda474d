"""The pods of a StatefulSet whose servers hold the same data, and what happens to one of them."""

import os
import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from harness import pod_processes
from harness.stack import Stack


def nodes(stack: Stack) -> list[str]:
    """Return the names of the cluster's nodes."""
    return [str(one["metadata"]["name"]) for one in stack.kubectl.json("get", "nodes")["items"]]


@contextmanager
def only_the_first_node(stack: Stack) -> Generator[None]:
    """Keep new pods off all other nodes, and have the tracking server stay on the first one."""
    first, *others = nodes(stack)
    picked = f'"nodeSelector": {{"kubernetes.io/hostname": "{first}"}}'
    stack.set(serverPods=f'{{"resources": {{"requests": {{"cpu": "100m"}}}}, {picked}}}')
    for other in others:
        stack.kubectl("cordon", other)
    try:
        yield
    finally:
        for other in others:
            stack.kubectl("uncordon", other)


def pods(stack: Stack, app: str) -> list[dict[str, Any]]:
    """Return the pods of a component that are not being deleted, by their names."""
    selector = f"--selector=app.kubernetes.io/instance={app}"
    found: list[dict[str, Any]] = stack.kubectl.json("get", "pods", selector)["items"]
    return sorted((one for one in found if "deletionTimestamp" not in one["metadata"]), key=name)


def name(pod: Mapping[str, Any]) -> str:
    """Return the name of a pod."""
    return str(pod["metadata"]["name"])


def kill(pod: Mapping[str, Any]) -> None:
    """End all processes of a pod with SIGKILL."""
    for process in pod_processes.visible_of_pod(pod):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def end(stack: Stack, pod: Mapping[str, Any]) -> None:
    """Delete a pod: it gets SIGTERM, and its grace period."""
    stack.kubectl("delete", "pod", name(pod), "--wait=false")


def replace(stack: Stack, pod_name: str) -> None:
    """Give a server an empty volume, as docs/high-availability.md says."""
    stack.kubectl("delete", "persistentvolumeclaim", f"data-{pod_name}", "--wait=false")
    stack.kubectl("delete", "pod", pod_name, "--force", "--grace-period=0", seconds=120)
