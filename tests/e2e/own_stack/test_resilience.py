"""Faults that take minutes: full volumes, many updates, late backends, many servers at once."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.diagnose import Watch
from harness import clients
from harness.kubectl import ready, restarts
from harness.ledger.faults import SERVER, Target, rolled, volume_faults_of
from harness.ledger.trials import writing
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support import acknowledged
from tests.e2e.support.jobs import assert_succeeds, repeated
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = [pytest.mark.failure, pytest.mark.long]

NAMESPACE = "mlflow-e2e-resilience"
TIMES = 20
LATE_SECONDS = 120
MANY = 4


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two servers."""
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(cluster, tmp_path_factory.mktemp("resilience"), NAMESPACE) as stack:
        stack.set(replicas="2")
        stack.change("up")
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


def test_a_full_volume_is_told_at_once_and_named(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    trials = acknowledged.assert_nothing_is_lost(stack, machine, tmp_path, volume_faults_of)
    for trial in trials:
        told = {answer.split()[-1] for answer in trial.answers}
        assert told & {"507", "RESOURCE_LIMIT_EXCEEDED"}, trial
    shown = Watch(stack.environment, stack.namespace, {}).everything()
    assert "No room is left in the database, in the last 10 minutes: " in shown
    assert "No room is left in the artifact store, in the last 10 minutes: " in shown


def test_no_request_fails_while_servers_are_replaced(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    target = Target.of(stack.kubectl)
    with writing(machine, tmp_path, stack.client_env()) as writers:
        writers.wait_until_acknowledged(time.time())
        for _ in range(TIMES):
            rolled(target)
        writers.stop()
        refused = [one for one in writers.impatient if one.refused]
        acknowledged_ones = len(writers.impatient) - len(refused)
    print(f"{TIMES} times, {acknowledged_ones} calls acknowledged, {len(refused)} refused")
    assert refused == []


def servers(stack: Stack, number: int) -> bool:
    """Say whether there are so many servers, all of which are ready."""
    found = Target.of(stack.kubectl).pods(SERVER)
    return len(found) == number and all(map(ready, found))


def test_backends_that_are_late_restart_no_container(stack: Stack) -> None:
    kubectl, target = stack.kubectl, Target.of(stack.kubectl)
    backends = [f"statefulset/{app}" for app in (target.database.name, *target.stores)]
    kubectl("scale", *backends, "--replicas=0")
    names = [pod["metadata"]["name"] for pod in target.pods(SERVER)]
    kubectl("delete", "pods", *names, seconds=120)
    with repeated(kubectl, "mlflow-migration"), repeated(kubectl, "minio-bucket"):
        time.sleep(LATE_SECONDS)
        kubectl("scale", *backends, "--replicas=1")
        for job in ("mlflow-migration", "minio-bucket"):
            assert_succeeds(kubectl, job)
    wait_until(partial(servers, stack, len(names)), 60, "the servers are ready")
    pods = [pod for app in target.apps for pod in target.pods(app)]
    assert [restarts(pod) for pod in pods] == [0] * len(pods)


def test_many_servers_start_at_once_on_an_empty_database(stack: Stack) -> None:
    kubectl, database = stack.kubectl, stack.database
    deployment = f"deployment/{SERVER}"
    seconds = []
    for _ in range(TIMES):
        kubectl("scale", deployment, "--replicas=0")
        wait_until(partial(servers, stack, 0), 120, "no server is left")
        database.empty(kubectl)
        began = time.monotonic()
        with repeated(kubectl, "mlflow-migration"):
            kubectl("scale", deployment, f"--replicas={MANY}")
            said = assert_succeeds(kubectl, "mlflow-migration")
            wait_until(partial(servers, stack, MANY), 180, f"{MANY} servers are ready")
        seconds.append(round(time.monotonic() - began))
        assert said.count("was empty") == 2, said
        pods = Target.of(kubectl).pods(SERVER)
        assert [restarts(pod) for pod in pods] == [0] * MANY
    print(f"{TIMES} times, ready after {min(seconds)} to {max(seconds)} s")
    kubectl("scale", deployment, "--replicas=2")
