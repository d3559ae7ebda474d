"""Objects of a stack that somebody edited or deleted: one `pulumi up --refresh` repairs all."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from commands.client_env import trusting
from commands.support.cluster import Cluster
from harness import clients
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support import members, numbers_of_servers
from tests.e2e.support.namespace_objects import in_cluster
from tests.e2e.support.numbers_of_servers import NUMBERS, UP_SECONDS
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of, published

pytestmark = [pytest.mark.failure, pytest.mark.long]

NAMESPACE = "mlflow-e2e-repair"
HOLDS_DATA = "PersistentVolumeClaim"
EDITED = "edited-by-hand"
RECORD = {("ConfigMap", f"postgres-{part}") for part in ("config", "failover", "leader", "sync")}
"""Where Patroni notes which members have all that was acknowledged (docs/high-availability.md)."""
# For each kind, a change of something that the program states.
EDITS: dict[str, dict[str, Any]] = {
    "CronJob": {"spec": {"schedule": "1 1 1 1 *"}},
    "Deployment": {"spec": {"replicas": 0}},
    "Ingress": {"spec": {"rules": [{"host": "edited.example"}]}},
    "Job": {"metadata": {"labels": {"app.kubernetes.io/component": EDITED}}},
    "NetworkPolicy": {"spec": {"policyTypes": ["Ingress"], "ingress": [{}]}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 2}},
    "Role": {"rules": []},
    "RoleBinding": {"subjects": []},
    "Service": {"spec": {"selector": {"app.kubernetes.io/instance": EDITED}}},
    "ServiceAccount": {"automountServiceAccountToken": True},
    "StatefulSet": {"spec": {"replicas": 0}},
}


@pytest.fixture(scope="module", params=NUMBERS)
def stack(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """A stack with every kind of object that the program makes on an Ingress."""
    numbers_of_servers.provide(cluster, request.param)
    with temporary_stack(cluster, tmp_path_factory.mktemp("repair"), NAMESPACE) as stack:
        stack.set(replicas="2", tls="generated", gcSchedule="0 3 * * *", **NUMBERS[request.param])
        stack.change("up", seconds=UP_SECONDS)
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def client_env(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `make client-env` exports."""
    outputs = published(stack)
    return trusting(tmp_path_factory.mktemp("trust") / "ca.pem", outputs["client_env"], outputs)


@pytest.fixture(scope="module")
def logged(machine: clients.Machine, client_env: dict[str, str]) -> Any:
    """All that a client reads, before anything is harmed."""
    machine.run("first_run.py", client_env=client_env, seconds=60)
    found = machine.run("read_everything.py", client_env=client_env, seconds=180)
    assert all(run["artifacts"] for run in found["runs"].values())
    return found


def stated(stack: Stack) -> dict[tuple[str, str], Any]:
    """Return what each object says, without what Kubernetes notes in it."""
    kinds = sorted({kind for kind, _ in in_cluster(stack.kubectl)})
    return {
        (item["kind"], item["metadata"]["name"]): {
            "labels": item["metadata"]["labels"],
            **{key: value for key, value in item.items() if key not in ("metadata", "status")},
        }
        for item in stack.kubectl.items(*kinds)
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "pulumi"
        and not item["metadata"].get("ownerReferences")
    }


def edit_of(kind: str, found: Any) -> dict[str, Any]:
    """Return the change of an object."""
    if kind in ("ConfigMap", "Secret"):
        key = min(found["data"])
        plain = EDITED if kind == "ConfigMap" else base64.b64encode(EDITED.encode()).decode()
        return {"data": {key: plain}}
    return EDITS[kind]


def secrets(stack: Stack) -> dict[str, Any]:
    return {one["metadata"]["name"]: one["data"] for one in stack.kubectl.items("secrets")}


def test_every_object_that_was_edited_is_as_the_program_says(
    stack: Stack, machine: clients.Machine, client_env: dict[str, str], logged: Any
) -> None:
    before = stated(stack)
    # A ConfigMap that the program leaves empty is written by a Job, or by Patroni.
    edited = {
        (kind, name): found
        for (kind, name), found in before.items()
        if kind != HOLDS_DATA and (kind != "ConfigMap" or found.get("data"))
    }
    assert {kind for kind, _ in edited} == {*EDITS, "ConfigMap", "Secret"}
    for (kind, name), found in edited.items():
        patch = json.dumps(edit_of(kind, found))
        stack.kubectl("patch", kind, name, "--type=merge", f"--patch={patch}")
    assert [one for one, found in stated(stack).items() if found != before[one]] == [*edited]

    said = stack.change("up", "--refresh", seconds=UP_SECONDS)
    assert "conflict" not in said
    assert stated(stack) == before
    stack.change("preview", "--refresh", "--expect-no-changes")
    assert machine.run("read_everything.py", client_env=client_env, seconds=180) == logged


def test_every_object_that_was_deleted_is_made_again_with_the_same_secrets(
    stack: Stack, machine: clients.Machine, client_env: dict[str, str], logged: Any
) -> None:
    before, passwords = in_cluster(stack.kubectl), secrets(stack)
    # Without the record and without a primary, a person says which member goes on.
    harmed = sorted(one for one in before - RECORD if one[0] != HOLDS_DATA)
    stack.kubectl("delete", *(f"{kind}/{name}" for kind, name in harmed), seconds=180)
    wait_until(lambda: not stack.kubectl.items("pods"), 120, "no pod is left")

    stack.change("up", "--refresh", seconds=UP_SECONDS)
    assert in_cluster(stack.kubectl) == before
    assert secrets(stack) == passwords
    stack.change("preview", "--refresh", "--expect-no-changes")
    published(stack)
    assert machine.run("read_everything.py", client_env=client_env, seconds=180) == logged


def test_the_members_record_that_was_deleted_is_written_again(
    stack: Stack, machine: clients.Machine, client_env: dict[str, str], logged: Any
) -> None:
    before = in_cluster(stack.kubectl)
    if not before >= RECORD:
        pytest.skip("a single server of PostgreSQL has no record")
    stack.kubectl("delete", *sorted(f"{kind}/{name}" for kind, name in RECORD), seconds=60)

    stack.change("up", "--refresh", seconds=UP_SECONDS)
    members.settle(stack, int(NUMBERS["several servers"]["databaseReplicas"]))
    assert in_cluster(stack.kubectl) == before
    stack.change("preview", "--refresh", "--expect-no-changes")
    assert machine.run("read_everything.py", client_env=client_env, seconds=180) == logged


def test_a_cluster_that_was_made_anew_is_told_and_gets_the_stack_again(
    stack: Stack, machine: clients.Machine, client_env: dict[str, str]
) -> None:
    """For Pulumi, a new cluster is one without the namespace. The data is gone with both."""
    before, passwords = in_cluster(stack.kubectl), stack.generated_secrets()
    stack.kubectl("delete", "namespace", NAMESPACE, seconds=180)

    said = stack.change("up", "--refresh", seconds=UP_SECONDS)
    assert f"namespace {NAMESPACE} is another one than at the last `up`" in said
    assert stack.generated_secrets() == passwords
    assert in_cluster(stack.kubectl) == before
    published(stack)
    machine.run("first_run.py", client_env=client_env, seconds=60)
    stack.change("preview", "--refresh", "--expect-no-changes")
