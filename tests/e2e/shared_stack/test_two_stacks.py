"""A second stack beside the first, in a namespace that exists.

Its images come under the names that they have in a registry of one's own.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.kubectl import Kubectl, restarts
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support.namespace_objects import in_cluster
from tests.e2e.support.this_machine import machine_of

pytestmark = pytest.mark.long

NAMESPACE = "mlflow-e2e-theirs"
REGISTRY = "mirror.example/e2e"
BYSTANDER = ("ConfigMap", "bystander")
NAMESAKE = ("Secret", "minio-root")


@pytest.fixture(scope="module")
def inside(environment: dict[str, str]) -> Iterator[Kubectl]:
    """`kubectl` in a namespace that is missing at first, and gone at the end."""
    kubectl = Kubectl(environment, NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=180)
    yield kubectl
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=180)


@pytest.fixture(scope="module")
def second(
    cluster: Cluster, inside: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack that is not up yet."""
    images.provide(cluster, stacks.settings("minikube", imageRegistry=REGISTRY))
    stack = Stack.create(tmp_path_factory.mktemp("second"), cluster.environment, inside.namespace)
    stack.set(createNamespace="false", imageRegistry=REGISTRY, auth="none")
    try:
        yield stack
    finally:
        stack.remove()


def work(stack: Stack, machine: clients.Machine) -> None:
    """Log a run and read it back."""
    report = machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}


def claims(inside: Kubectl) -> dict[str, str]:
    """Return the id of each volume claim."""
    return {
        claim["metadata"]["name"]: claim["metadata"]["uid"]
        for claim in inside.items("persistentvolumeclaims")
    }


def test_a_missing_namespace_is_refused_in_one_line_that_says_how_to_make_it(
    second: Stack,
) -> None:
    said = second.change("preview", check=False)
    (line,) = (
        line for line in said.splitlines() if "Namespace must exist" in line and "error: " in line
    )
    assert f"must exist, by `kubectl create namespace {NAMESPACE}`" in line
    assert f"resource '{NAMESPACE}' does not exist" in line
    assert second.resources() == []


def test_a_namespace_that_exists_is_not_taken_over(second: Stack, inside: Kubectl) -> None:
    inside("create", "namespace", NAMESPACE)
    second.set(createNamespace="true")
    said = second.change("up", check=False)
    assert f'namespaces "{NAMESPACE}" already exists' in said
    second.change("destroy")
    found = inside.json("get", "namespace", NAMESPACE)["metadata"]
    assert "deletionTimestamp" not in found
    assert "app.kubernetes.io/part-of" not in found["labels"]
    second.set(createNamespace="false")


def test_what_has_the_name_of_one_of_ours_is_not_taken_over(second: Stack, inside: Kubectl) -> None:
    inside("create", "configmap", BYSTANDER[1], "--from-literal=a=b")
    inside("create", "secret", "generic", NAMESAKE[1], "--from-literal=a=b")
    said = second.change("up", check=False)
    assert f'secrets "{NAMESAKE[1]}" already exists' in said
    second.change("destroy")
    assert in_cluster(inside) == {BYSTANDER, NAMESAKE}
    assert inside.json("get", "secret", NAMESAKE[1])["data"] == {"a": "Yg=="}
    inside("delete", "secret", NAMESAKE[1])


def test_both_work_side_by_side(
    stack: Stack, second: Stack, inside: Kubectl, machine: clients.Machine
) -> None:
    second.change("up")
    second.change("preview", "--expect-no-changes")
    assert list(second.client_env()) == ["MLFLOW_TRACKING_URI"]
    work(second, machine_of(second, machine.home))
    work(stack, machine)
    used = {
        container["image"]
        for pod in inside.items("pods")
        for container in pod["spec"]["containers"]
    }
    assert len(used) == 3
    assert {image.rpartition("/")[0].removesuffix("/mlflow-kubernetes") for image in used} == {
        REGISTRY
    }


def theirs(second: Stack, machine: clients.Machine) -> clients.Machine:
    return clients.Machine(machine.home, second.outputs()["hosts_line"])


def test_a_replaced_server_finds_its_data(
    second: Stack, inside: Kubectl, machine: clients.Machine
) -> None:
    kept = claims(inside)
    before: dict[str, Any] = inside.json("get", "statefulset", "postgres")["metadata"]
    # People have to log in from now on, so that the server is changed. What kubectl changed is the
    # program's again, and what others added stays.
    inside("scale", "deployment/mlflow", "--replicas=2")
    inside("annotate", "deployment/mlflow", "example.com/note=theirs")
    second.set(auth="basic")
    second.change("up")
    server = inside.json("get", "deployment", "mlflow")
    assert server["spec"]["replicas"] == 1
    assert server["metadata"]["annotations"]["example.com/note"] == "theirs"
    # A size is in the template of the claims, which cannot be changed: the StatefulSet is replaced.
    second.set(databaseStorage="2Gi")
    second.change("up")
    assert inside.json("get", "statefulset", "postgres")["metadata"]["uid"] != before["uid"]
    assert claims(inside) == kept
    psql = ("exec", "postgres-0", "--", "psql", "-h", "127.0.0.1", "-U", "mlflow", "-qtAc")
    assert inside(*psql, "select count(*) from runs").strip() == "1"
    wait_until(lambda: inside.is_ready("mlflow"), 60, "the server finds the database again")
    work(second, theirs(second, machine))


def test_destroying_one_leaves_the_other_and_what_is_somebody_elses(
    stack: Stack, second: Stack, inside: Kubectl, machine: clients.Machine
) -> None:
    calm = {pod["metadata"]["uid"]: restarts(pod) for pod in stack.kubectl.items("pods")}
    second.change("destroy")
    assert second.resources() == []
    assert in_cluster(inside) == {BYSTANDER}
    assert inside.json("get", "configmap", BYSTANDER[1])["data"] == {"a": "b"}
    # Kubernetes removes the volumes after the object that they belong to.
    wait_until(lambda: not claims(inside), 60, "the volumes are gone as well")
    assert "deletionTimestamp" not in inside.json("get", "namespace", NAMESPACE)["metadata"]

    work(stack, machine)
    stack.change("preview", "--expect-no-changes")
    assert {pod["metadata"]["uid"]: restarts(pod) for pod in stack.kubectl.items("pods")} == calm
