"""An `up` that fails names the failure, the cause and what to do, and ends within minutes."""

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from commands.support import console, images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.console import CommandError
from commands.support.lab_cluster import LabCluster
from harness.programs import ENDS_WITH_US
from harness.stack import Stack
from lab import paths
from tests.e2e.support.server_pod import POD_SCRIPTS
from tests.e2e.support.temporary_stack import temporary_stack

pytestmark = pytest.mark.failure

NAMESPACE = "mlflow-e2e-failures"
REGISTRY = POD_SCRIPTS / "empty_registry.py"
PRIVATE_REGISTRY = POD_SCRIPTS / "private_registry.py"
# Each is told in less than a minute where nothing else runs; Pulumi itself waits for 10 minutes.
LATEST_SECONDS = 150
Up = Callable[[], tuple[float, str]]


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is not up yet."""
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(cluster, tmp_path_factory.mktemp("failures"), NAMESPACE) as stack:
        yield stack


@pytest.fixture
def up(
    stack: Stack,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> Up:
    """What `make up` runs when cluster and images are there; returns how long it took, and said."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("user")))
    for module in (console, stacks):
        monkeypatch.setattr(module, "CLONE", stack.folder)

    def run() -> tuple[float, str]:
        capfd.readouterr()
        started = time.monotonic()
        error = ""
        try:
            stacks.Stack("minikube", replace(cluster, environment=stack.environment)).up()
        except CommandError as failure:
            error = f"error: {failure}"
        took = time.monotonic() - started
        said = "".join(capfd.readouterr()) + error
        stack.said.append(said)
        print(f"{took:.0f} s\n{said.rpartition('stands in the way')[2]}")
        return took, said

    return run


@pytest.fixture
def missing_image(cluster: Cluster) -> Iterator[str]:
    """An image that its registry does not have."""
    image = "postgres:18.6-not-there"
    if not isinstance(cluster, LabCluster):
        yield image
        return
    # The lab reaches no registry. One on the node's loopback needs no certificate.
    inside = ["nsenter", f"--net={paths.NETNS_FILE}"]
    command = [*ENDS_WITH_US, *inside, sys.executable, "-IS", str(REGISTRY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as registry:
        assert registry.stdout
        try:
            yield f"127.0.0.1:{int(registry.stdout.readline())}/library/{image}"
        finally:
            registry.kill()


def test_a_volume_that_nobody_makes_is_told_in_time_with_the_way_out(stack: Stack, up: Up) -> None:
    stack.set(storageClass="not-there")
    took, said = up()
    assert took < LATEST_SECONDS
    for name in ("data-postgres-0", "data-minio-0", "backup"):
        assert (
            f'volume claim {name}: gets no volume: storageclass.storage.k8s.io "not-there" '
            "not found" in said
        )
    assert "was stopped, for it would have waited in vain" in said.splitlines()[-1]
    # The way out is taken as it is told.
    told = re.findall(r"which never held anything: (kubectl .*)", said)
    assert len(told) == 3
    for command in " && ".join(told).split(" && "):
        stack.kubectl(*shlex.split(command)[1:])
    stack.set(storageClass="")


def test_an_image_that_its_registry_lacks_is_told_in_time(
    stack: Stack, up: Up, missing_image: str
) -> None:
    stack.set(postgresImage=missing_image)
    took, said = up()
    assert took < LATEST_SECONDS
    assert re.search(
        rf"StatefulSet postgres, pod postgres-0: its image {re.escape(missing_image)} "
        "cannot be had: .*not found",
        said,
    )
    assert "  to do: correct mlflow:postgresImage" in said
    assert "was stopped, for it would have waited in vain" in said.splitlines()[-1]
    stack.pulumi("config", "rm", "--stack", "minikube", "postgresImage")


def test_what_does_not_start_is_told_in_time_with_its_last_words(stack: Stack, up: Up) -> None:
    # An image that is there, with another program in it.
    stack.set(minioImage=stacks.settings("minikube").postgres_image)
    took, said = up()
    assert took < LATEST_SECONDS
    assert re.search(
        r"StatefulSet minio, pod minio-0: container minio ended with exit status 127, 3 times by "
        r"now\n  \| .*server: (command )?not found\n  to do: ",
        said,
    )
    assert "was stopped, for it would have waited in vain" in said.splitlines()[-1]
    stack.pulumi("config", "rm", "--stack", "minikube", "minioImage")


def test_a_server_for_which_no_node_has_room_is_told_in_time(stack: Stack, up: Up) -> None:
    stack.set(serverMemory="64Gi")
    took, said = up()
    assert took < LATEST_SECONDS
    assert re.search(
        r"Deployment mlflow, pod mlflow-\w+-\w+: fits on no node: .* Insufficient memory", said
    )
    assert "or ask for less (mlflow:serverMemory" in said
    assert "was stopped, for it would have waited in vain" in said.splitlines()[-1]


def test_once_corrected_it_comes_up(stack: Stack, up: Up) -> None:
    stack.set(serverMemory="1Gi")
    _, said = up()
    assert "error: " not in said
    assert "stands in the way" not in said
    assert stack.kubectl.is_ready("mlflow")
    # Pulumi saved what it had done each time, and holds no lock.
    stack.change("preview", "--expect-no-changes")
    for secret in stack.generated_secrets().values():
        assert secret not in "".join(stack.said)


@pytest.fixture(scope="module")
def private_image(cluster: Cluster) -> Iterator[str]:
    """PostgreSQL's image in a registry that asks for the login ml:hidden."""
    if not isinstance(cluster, LabCluster):
        pytest.skip("only the lab's node reaches a registry on its own loopback")
    (archive,) = (paths.CACHE / "images").glob("docker.io_library_postgres_18.6-*.tar")
    inside = ["nsenter", f"--net={paths.NETNS_FILE}"]
    command = [*ENDS_WITH_US, *inside, sys.executable, "-IS", str(PRIVATE_REGISTRY), str(archive)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as registry:
        assert registry.stdin
        assert registry.stdout
        try:
            registry.stdin.write("ml:hidden\n")
            registry.stdin.flush()
            yield f"127.0.0.1:{int(registry.stdout.readline())}/library/postgres:18.6"
        finally:
            registry.kill()


def test_a_registry_that_asks_for_a_login_is_told_and_a_pull_secret_is_the_way_out(
    stack: Stack, up: Up, private_image: str
) -> None:
    stack.set(postgresImage=private_image)
    took, said = up()
    assert took < LATEST_SECONDS
    assert f"pod postgres-0: its image {private_image} cannot be had" in said
    assert "name the Secret in imagePullSecrets of mlflow:pods" in said
    login = ["--docker-username=ml", "--docker-password=hidden"]
    server = f"--docker-server={private_image.partition('/')[0]}"
    stack.kubectl("create", "secret", "docker-registry", "registry-login", server, *login)
    stack.set(pods=json.dumps({"imagePullSecrets": [{"name": "registry-login"}]}))
    up()
    (pod,) = stack.kubectl.json("get", "pods", "--selector=app.kubernetes.io/name=postgres")[
        "items"
    ]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry-login"}]
    assert stack.kubectl.is_ready("postgres")
