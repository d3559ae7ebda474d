"""Pods are killed while a client logs: nothing acknowledged is lost, all heals by itself."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from urllib.request import urlopen

import pytest

from harness import clients, pod_processes
from harness.kubectl import Kubectl
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support.interruptions import KINDS, Logger, container_ids, delete_pod

pytestmark = pytest.mark.failure


@pytest.fixture
def logger(stack: Stack, machine: clients.Machine) -> Iterator[Logger]:
    process = machine.start("log_until_told.py", client_env=stack.client_env())
    yield Logger(process)
    process.kill()
    process.wait()


def kill_processes(kubectl: Kubectl, app: str) -> None:
    """End all processes of a pod with no notice at all; its container has to start again."""
    pod = kubectl.pod(app)
    before = container_ids(pod)
    for process in pod_processes.visible_of_pod(pod):
        # One that is gone went with its parent.
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_until(lambda: container_ids(kubectl.pod(app)) != before, 60, f"a new {app} container")


@pytest.mark.parametrize("harm", [delete_pod, kill_processes])
def test_nothing_acknowledged_is_lost(
    stack: Stack, logger: Logger, harm: Callable[[Kubectl, str], None]
) -> None:
    for app in (stack.database.name, "minio", "mlflow"):
        logger.logs_again()
        harm(stack.kubectl, app)
        wait_until(partial(stack.kubectl.is_ready, app), 120, f"{app} is ready again")
        logger.logs_again()
    report = json.loads(logger.finish())
    print(report)
    assert report["lost"] == {"metric": [], "param": [], "artifact": []}
    assert all(report["acknowledged"][kind] >= 30 for kind in KINDS)
    assert stack.kubectl.is_ready(stack.database.name)


def test_a_worker_that_dies_is_replaced_and_the_other_one_serves(stack: Stack) -> None:
    def workers() -> set[int]:
        found = pod_processes.visible_of_pod(stack.kubectl.pod("mlflow"))
        return {
            one
            for one in found
            if "mlflow_kubernetes.server.workers" in pod_processes.command_line(one)
        }

    pod = stack.kubectl.pod("mlflow")
    first, second = sorted(workers())
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        os.kill(first, signal.SIGKILL)
        asked = [urlopen(f"http://localhost:{port}/health").status for _ in range(5)]
    assert asked == [200] * 5
    wait_until(lambda: len(workers() - {first}) == 2, 60, "there are two workers again")
    assert second in workers()
    assert container_ids(stack.kubectl.pod("mlflow")) == container_ids(pod)
