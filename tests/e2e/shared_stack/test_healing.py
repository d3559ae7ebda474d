"""Each fault once while clients write: nothing acknowledged is lost, and all heals by itself."""

import os
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest

from harness import clients, pod_processes
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support import acknowledged
from tests.e2e.support.interruptions import container_ids

pytestmark = pytest.mark.failure


def test_nothing_acknowledged_is_lost(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    acknowledged.assert_nothing_is_lost(stack, machine, tmp_path, acknowledged.brief)


def test_a_worker_that_dies_is_replaced_and_the_other_one_serves(stack: Stack) -> None:
    def workers() -> set[int]:
        found = pod_processes.visible_of_pod(stack.kubectl.pod("mlflow"))
        return {one for one in found if pod_processes.serves(one)}

    pod = stack.kubectl.pod("mlflow")
    first, second = sorted(workers())
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        os.kill(first, signal.SIGKILL)
        asked = [urlopen(f"http://localhost:{port}/health").status for _ in range(5)]
    assert asked == [200] * 5
    wait_until(lambda: len(workers() - {first}) == 2, 60, "there are two workers again")
    assert second in workers()
    assert container_ids(stack.kubectl.pod("mlflow")) == container_ids(pod)
