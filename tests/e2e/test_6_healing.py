"""Pods are killed while a client logs: nothing acknowledged is lost, all heals by itself."""

import json
import os
import re
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from urllib.request import urlopen

import pytest

from tests.e2e import places, processes
from tests.e2e.kubectl import Kubectl
from tests.e2e.programs import ProgramError
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

KINDS = ("metric", "param", "artifact")


class Logger:
    """A client that logs without a pause, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.acknowledged: Counter[str] = Counter()
        self.last = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.acknowledged[line.split()[0]] += 1
            self.last = line

    def logs_again(self, more: int = 5) -> None:
        """Wait until some more of everything is acknowledged."""
        wanted = {kind: self.acknowledged[kind] + more for kind in KINDS}

        def enough() -> bool:
            if self.process.poll() is not None:
                raise ProgramError("the client ended")
            return all(self.acknowledged[kind] >= number for kind, number in wanted.items())

        wait_until(enough, 120, f"{more} more of everything are logged; last line: {self.last!r}")

    def finish(self) -> str:
        """Have it read everything back; return its report."""
        assert self.process.stdin is not None
        self.process.stdin.write("stop\n")
        self.process.stdin.close()
        self.process.wait(timeout=300)
        self._reader.join(timeout=10)
        return self.last


@pytest.fixture
def logger(stack: Stack, machine: places.Machine) -> Iterator[Logger]:
    process = machine.start("log_until_told.py", client_env=stack.client_env())
    yield Logger(process)
    process.kill()
    process.wait()


def delete_pod(kubectl: Kubectl, app: str) -> None:
    """Take a pod away with hardly any notice; another one has to take its place."""
    old = kubectl.pod(app)["metadata"]
    kubectl("delete", "pod", old["name"], "--grace-period=1", "--wait=false")
    wait_until(lambda: kubectl.pod(app)["metadata"]["uid"] != old["uid"], 90, f"a new {app} pod")


def kill_processes(kubectl: Kubectl, app: str) -> None:
    """End all processes of a pod with no notice at all; its container has to start again."""
    pod = kubectl.pod(app)
    before = container_ids(pod)
    for process in processes.visible_of_pod(pod):
        # One that is gone went with its parent.
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_until(lambda: container_ids(kubectl.pod(app)) != before, 60, f"a new {app} container")


def container_ids(pod: dict[str, object]) -> list[str]:
    return sorted(re.findall(r"'containerID': '([^']+)'", str(pod["status"])))


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
        found = processes.visible_of_pod(stack.kubectl.pod("mlflow"))
        return {
            one
            for one in found
            if "mlflow_kubernetes.server.workers" in processes.command_line(one)
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
