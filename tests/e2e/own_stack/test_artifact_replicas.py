"""Four servers of MinIO: clients read and write while one is away, and nothing is lost.

Servers are killed, ended, replaced with an empty volume, updated, given another root password, and
lost with their node, while clients write. On one node, the test of a lost node is skipped:
`python -m lab start --nodes 3` gives three.
"""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients, pod_processes
from harness.kubectl import ready
from harness.ledger.entries import ARTIFACTS
from harness.programs import ProgramError
from harness.stack import Stack
from harness.waiting import wait_until
from lab import node, paths
from tests.e2e.support.acknowledged import nothing_is_lost, pause
from tests.e2e.support.stateful_pods import (
    end,
    kill,
    name,
    nodes,
    only_the_first_node,
    pods,
    replace,
)
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = [pytest.mark.failure, pytest.mark.long]

NAMESPACE = "mlflow-e2e-servers"
SERVERS = 4
TIMES = 5
READY_SECONDS = 180
FILL_SECONDS = 300
AWAY_SECONDS = 20
LOST_NODE_SECONDS = 60
"""How long no artifact may be acknowledged after the loss of a node."""
_UP_SECONDS = 600


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of four servers. The database and the tracking server are on the first node."""
    images.provide(cluster, stacks.settings("minikube", artifactReplicas=SERVERS))
    with temporary_stack(cluster, tmp_path_factory.mktemp("servers"), NAMESPACE) as stack:
        stack.set(artifactReplicas=str(SERVERS))
        with ThreadPoolExecutor(1) as beside:
            with only_the_first_node(stack):
                up = beside.submit(stack.change, "up", seconds=_UP_SECONDS)
                wait_until(partial(_placed, stack), 120, "the database has a node")
            up.result()
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


def servers(stack: Stack) -> list[dict[str, Any]]:
    """Return the pods of MinIO that are not being deleted."""
    return pods(stack, "minio")


def _placed(stack: Stack) -> bool:
    return any("nodeName" in pod["spec"] for pod in pods(stack, "postgres"))


def folders(pod: dict[str, Any]) -> set[str]:
    """Return the names of all objects of which a server has its part."""
    bucket = _bucket(pod)
    return {str(file.parent.relative_to(bucket)) for file in bucket.rglob("xl.meta")}


def _bucket(pod: dict[str, Any]) -> Path:
    return Path(f"/proc/{pod_processes.visible_of_pod(pod)[0]}/root/data/mlflow")


def settle(stack: Stack) -> None:
    """Wait until all servers are ready. By then they have joined each other."""
    whole = lambda: len(servers(stack)) == SERVERS and all(map(ready, servers(stack)))  # noqa: E731
    wait_until(whole, READY_SECONDS, "all servers are ready")


def fill(stack: Stack, server: str, there: set[str]) -> None:
    """Wait until a server has its part of all these objects."""
    settle(stack)

    def filled() -> bool:
        (pod,) = (pod for pod in servers(stack) if name(pod) == server)
        if lacking := there - folders(pod):
            raise ProgramError(f"{server} lacks its part of {len(lacking)} of {len(there)} objects")
        return True

    began = time.time()
    wait_until(filled, FILL_SECONDS, f"{server} has its part of every object", every=5)
    print(f"{server} was filled in {time.time() - began:.0f} s")


def test_the_servers_are_divided_among_the_nodes(stack: Stack) -> None:
    numbers = Counter(pod["spec"]["nodeName"] for pod in servers(stack))
    assert len(numbers) == min(SERVERS, len(nodes(stack)))
    assert max(numbers.values()) - min(numbers.values()) <= 1
    stack.change("preview", "--refresh", "--expect-no-changes")


def test_another_number_of_servers_is_refused(stack: Stack) -> None:
    stack.set(artifactReplicas="6")
    said = stack.change("preview", check=False)
    stack.set(artifactReplicas=str(SERVERS))
    assert "mlflow:artifactReplicas: 6; accepted: 4: MinIO reads the volumes of as many" in said


def test_clients_go_on_while_one_server_is_away(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        for number in range(TIMES):
            for what, harm in (("killed", kill), ("ended", partial(end, stack))):
                pod = servers(stack)[number % SERVERS]
                pause(writers, f"server {what}", partial(harm, pod), ARTIFACTS)
                settle(stack)


def test_without_two_servers_nothing_is_acknowledged_that_is_not_kept(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    """Two of four servers write nothing. A read of what one of them lacks waits for the others."""
    env = stack.client_env()
    run = machine.run("log_one_artifact.py", client_env=env, seconds=60)
    first = servers(stack)[0]
    there = folders(first)
    other_run = machine.run("log_one_artifact.py", client_env=env, seconds=60)
    (lacking,) = folders(first) - there
    with ThreadPoolExecutor(1) as beside, nothing_is_lost(stack, machine, tmp_path) as writers:
        stack.kubectl("scale", "statefulset/minio", f"--replicas={SERVERS - 2}")
        picked = ("get", "pods", "--selector=app.kubernetes.io/instance=minio")
        gone = lambda: len(stack.kubectl.json(*picked)["items"]) == SERVERS - 2  # noqa: E731
        wait_until(gone, 60, "two servers are gone")
        shutil.rmtree(_bucket(first) / lacking)
        began = time.time()
        try:
            waits = beside.submit(
                machine.run, "read_one_artifact.py", other_run, client_env=env, seconds=300
            )
            read = machine.run("read_one_artifact.py", run, client_env=env, seconds=120)
            time.sleep(AWAY_SECONDS)
            assert not waits.done(), waits.result()
        finally:
            ended = time.time()
            stack.kubectl("scale", "statefulset/minio", f"--replicas={SERVERS}")
        settle(stack)
        stored = [
            one
            for one in writers.impatient
            if one.sort == ARTIFACTS and one.began > began and one.ended < ended and not one.refused
        ]
        assert waits.result() == "one more"
    assert (read, stored) == ("one more", [])


def test_a_server_with_an_empty_volume_gets_its_parts_back(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        for server in ("minio-0", "minio-3"):
            # What clients write before the others know the new server lacks a part there until the
            # object is read, or the scanner passes (127 of 6,395 objects once, 4 of 5,997).
            there = set[str]().union(*map(folders, servers(stack)))
            replaced = partial(replace, stack, server)
            pause(writers, f"volume of {server} replaced", replaced, ARTIFACTS)
            fill(stack, server, there)


def test_an_update_replaces_one_server_after_the_other(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    def update() -> None:
        stack.kubectl("rollout", "restart", "statefulset/minio")
        status = ["rollout", "status", "statefulset/minio", "--timeout=240s"]
        stack.kubectl(*status, seconds=250)

    with nothing_is_lost(stack, machine, tmp_path) as writers:
        pause(writers, "all servers restarted in turn", update, ARTIFACTS)
    # MinIO answers an error of its own until it has noticed that a server is away.
    assert {one.refused for one in writers.impatient if one.refused} <= {"503"}


def test_the_root_password_is_rotated(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    """In between, servers with the former password and with the new one do not know each other."""
    stack.set(rotation='{"storeRoot": 1}')
    rotate = partial(stack.change, "up", seconds=_UP_SECONDS)
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        pause(writers, "root password rotated", rotate, ARTIFACTS)
    settle(stack)


def test_a_server_is_lost_with_its_node_and_its_volume(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    _, *others = nodes(stack)
    if len(others) < 2 or not paths.NODE_DIR.exists():
        pytest.skip("the cluster is not a lab of three nodes")
    places = {name(one): one["spec"]["nodeName"] for one in servers(stack)}
    numbers = Counter(places.values())
    lost = next(other for other in others if numbers[other] == 1)
    (server,) = (one for one, place in places.items() if place == lost)
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        seconds = pause(writers, "node lost", partial(node.lose, lost), ARTIFACTS)
        node.start()
        wait_until(node.ready, 120, "the node is back")
        replace(stack, server)
        settle(stack)
    assert seconds < LOST_NODE_SECONDS
