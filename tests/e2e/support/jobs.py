"""A Job that has ended, run once more."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.kubectl import Kubectl, restarts


@contextmanager
def repeated(kubectl: Kubectl, name: str) -> Iterator[None]:
    """Start a finished Job once more as `<name>-again`, and remove that Job at the end."""
    job = kubectl.json("get", "job", name)
    copy: dict[str, Any] = {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "metadata": {"name": f"{name}-again"},
        "spec": {
            key: value
            for key, value in job["spec"].items()
            if key in ("backoffLimit", "activeDeadlineSeconds", "template")
        },
    }
    worn = copy["spec"]["template"]["metadata"]["labels"]
    # Those by which the network lets it through; Kubernetes' own are the first Job's.
    copy["spec"]["template"]["metadata"]["labels"] = {
        key: value
        for key, value in worn.items()
        if not key.endswith(("controller-uid", "job-name"))
    }
    kubectl("apply", "--filename=-", stdin=json.dumps(copy))
    try:
        yield
    finally:
        kubectl("delete", "job", f"{name}-again")


def assert_succeeds(kubectl: Kubectl, name: str, seconds: int = 120) -> str:
    """Wait for a repeated Job, which must not fail on its way, and return its log."""
    job = f"job/{name}-again"
    kubectl("wait", job, "--for=condition=Complete", f"--timeout={seconds}s", seconds=seconds + 10)
    pods = kubectl.json("get", "pods", f"--selector=job-name={name}-again")["items"]
    assert [restarts(pod) for pod in pods] == [0]
    return kubectl("logs", job)
