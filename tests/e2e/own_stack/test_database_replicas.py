"""Three members of PostgreSQL: nothing acknowledged is lost with the primary, wherever it is.

A stack of a single server that holds data grows to three members. Then the primary is killed,
ended, switched, drained off its node, and lost with its node and its volume, while clients write.
On one node, the tests of nodes are skipped: `python -m lab start --nodes 3` gives three.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.ledger import entries
from harness.ledger.faults import Target
from harness.ledger.trials import Writers
from harness.stack import Stack
from harness.waiting import wait_until
from lab import node, paths
from tests.e2e.support import members, stateful_pods
from tests.e2e.support.acknowledged import nothing_is_lost, pause
from tests.e2e.support.stateful_pods import (
    end,
    kill,
    nodes,
    only_the_first_node,
    replace,
)
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = [pytest.mark.failure, pytest.mark.long]

NAMESPACE = "mlflow-e2e-members"
MEMBERS = 3
SECONDS = 30
"""The 95th percentile of the time without an acknowledged write."""
KILLED, ENDED, SWITCHED, LOST = 9, 4, 4, 3
"""How often each thing happens to the primary: twenty times in all."""
AWAY_SECONDS = 45
_UP_SECONDS = 1200
_without: list[tuple[str, float]] = []
"""What happened to the primary, and the seconds without an acknowledged write."""


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of a single server. Everything but further members is on the first node."""
    images.provide(cluster, stacks.settings("minikube", databaseReplicas=MEMBERS))
    with temporary_stack(cluster, tmp_path_factory.mktemp("members"), NAMESPACE) as stack:
        with only_the_first_node(stack):
            stack.change("up")
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


def to_the_primary(writers: Writers, what: str, harm: Callable[[], object]) -> None:
    _without.append((what, pause(writers, what, harm)))


def switch(stack: Stack, to: str) -> None:
    leader = stateful_pods.name(members.primary(stack))
    asked = ["switchover", "--leader", leader, "--candidate", to, "--force"]
    members.patronictl(stack, *asked, seconds=90)
    assert stateful_pods.name(members.primary(stack)) == to


def member_on(stack: Stack, place: str) -> str:
    """Return the member on a node."""
    on = [pod for pod in members.pods(stack) if pod["spec"]["nodeName"] == place]
    (name,) = map(stateful_pods.name, on)
    return name


def another(stack: Stack) -> str:
    """Return a member that is not the primary."""
    leader = stateful_pods.name(members.primary(stack))
    return next(name for pod in members.pods(stack) if (name := stateful_pods.name(pod)) != leader)


def drain(stack: Stack, place: str) -> None:
    """Take all pods off a node, as before work on the machine, and let it have pods again."""
    options = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s"]
    try:
        stack.kubectl("drain", place, *options, seconds=200)
    finally:
        stack.kubectl("uncordon", place)
    assert members.primary(stack)["spec"]["nodeName"] != place


def test_a_stack_that_holds_data_grows(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    stack.set(databaseReplicas=str(MEMBERS))
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        grows = lambda: stack.change("up", seconds=_UP_SECONDS)  # noqa: E731
        pause(writers, "grown from 1 to 3", grows)
    members.settle(stack, MEMBERS)
    places = {pod["spec"]["nodeName"] for pod in members.pods(stack)}
    assert len(places) == min(MEMBERS, len(nodes(stack)))
    # Whatever Patroni has written is left alone.
    stack.change("preview", "--refresh", "--expect-no-changes")


def test_fewer_members_are_refused(stack: Stack) -> None:
    stack.set(databaseReplicas="1")
    said = stack.change("preview", check=False)
    stack.set(databaseReplicas=str(MEMBERS))
    assert "mlflow:databaseReplicas: 1; accepted: 3 or more: the first member may lack" in said


def test_a_primary_that_is_killed_ended_or_switched_loses_nothing(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    members.settle(stack, MEMBERS)
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        for number in range(max(KILLED, ENDED, SWITCHED)):
            if number < KILLED:
                to_the_primary(writers, "primary killed", lambda: kill(members.primary(stack)))
                members.settle(stack, MEMBERS)
                members.renew(stack, MEMBERS)
            if number < ENDED:
                to_the_primary(writers, "primary ended", lambda: end(stack, members.primary(stack)))
                members.settle(stack, MEMBERS)
            if number < SWITCHED:
                candidate = another(stack)
                to_the_primary(writers, "switchover", lambda: switch(stack, candidate))  # noqa: B023
                members.settle(stack, MEMBERS)


def test_a_member_with_an_empty_volume_copies_another(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    """The first member too, which made the cluster."""
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        for name in ("postgres-2", "postgres-0"):
            pause(writers, f"{name} replaced", lambda: replace(stack, name))  # noqa: B023
            members.settle(stack, MEMBERS)


def test_the_primary_goes_on_without_the_api_server(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    file = paths.NODE_DIR / "pids" / "kube-apiserver"
    if not file.exists():
        pytest.skip("the cluster is not the lab")
    before = stateful_pods.name(members.primary(stack))
    server = int(file.read_text())

    def stop_the_api() -> None:
        os.kill(server, signal.SIGSTOP)
        try:
            time.sleep(AWAY_SECONDS)
        finally:
            os.kill(server, signal.SIGCONT)

    with nothing_is_lost(stack, machine, tmp_path) as writers:
        seconds = pause(writers, "API server away", stop_the_api)
    assert seconds < AWAY_SECONDS / 2
    members.settle(stack, MEMBERS)
    assert stateful_pods.name(members.primary(stack)) == before


def test_a_primary_that_is_lost_with_its_node_and_its_volume_loses_nothing(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    first, *others = nodes(stack)
    if len(others) < MEMBERS - 1 or not paths.NODE_DIR.exists():
        pytest.skip("the cluster is not a lab of three nodes")
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        for number in range(LOST):
            lost = others[number % len(others)]
            name = member_on(stack, lost)
            if stateful_pods.name(members.primary(stack)) != name:
                switch(stack, name)
                members.settle(stack, MEMBERS)
            # All that the clients need but the member is elsewhere.
            target = Target.of(stack.kubectl)
            elsewhere = [pod for app in ("mlflow", *target.stores) for pod in target.pods(app)]
            assert {pod["spec"]["nodeName"] for pod in elsewhere} == {first}
            to_the_primary(writers, "primary's node lost", lambda: node.lose(lost))  # noqa: B023
            assert stateful_pods.name(members.primary(stack)) != name
            node.start()
            wait_until(node.ready, 120, "the node is back")
            replace(stack, name)
            members.settle(stack, MEMBERS)


def test_a_node_with_a_member_is_drained_while_clients_write(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    # The first node has the ingress controller, too. While that starts, it answers 404, which no
    # client repeats.
    _, *places = nodes(stack)
    if len(places) < MEMBERS - 1:
        pytest.skip("the cluster has fewer nodes than members")
    with nothing_is_lost(stack, machine, tmp_path) as writers:
        for place in places:
            if members.primary(stack)["spec"]["nodeName"] != place:
                switch(stack, member_on(stack, place))
                members.settle(stack, MEMBERS)
            pause(writers, "primary's node drained", lambda: drain(stack, place))  # noqa: B023
            members.settle(stack, MEMBERS)


def test_a_login_is_rotated_and_the_members_follow(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    with nothing_is_lost(stack, machine, tmp_path):
        stack.set(rotation='{"database": 1}')
        stack.change("up", seconds=_UP_SECONDS)
        switch(stack, another(stack))
        members.settle(stack, MEMBERS)


def test_other_sizes_reach_every_member(stack: Stack) -> None:
    stack.set(databaseConnections="150")
    stack.change("up", seconds=_UP_SECONDS)
    members.settle(stack, MEMBERS)
    for pod in members.pods(stack):
        asked = ["psql", "-h", "127.0.0.1", "-U", "postgres", "-qtAc", "SHOW max_connections"]
        shown = stack.kubectl("exec", stateful_pods.name(pod), "--", *asked).strip()
        # A follower keeps a greater number until its primary has had the smaller one.
        assert shown in ("160", "200")


def test_the_next_write_comes_in_time() -> None:
    for what, seconds in _without:
        print(f"{seconds:5.1f} s: {what}")
    if not _without:
        pytest.skip("nothing happened to a primary")
    share = entries.percentile([seconds for _, seconds in _without], 0.95)
    print(f"{len(_without)} times, 95th percentile {share:.1f} s")
    assert share <= SECONDS
