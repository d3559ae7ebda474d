"""An `up` that fails says what failed, why, and what to do, and ends while its user still looks."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from commands import _main, images
from commands import stack as stacks
from commands._main import CommandError
from commands.cluster import Cluster
from commands.lab_cluster import LabCluster
from lab import paths
from tests.e2e.alone import alone
from tests.e2e.programs import ENDS_WITH_US
from tests.e2e.stack import Stack

NAMESPACE = "mlflow-e2e-failures"
REGISTRY = Path(__file__).parent / "inside" / "empty_registry.py"
# Each is told in less than a minute where nothing else runs; Pulumi itself waits for 10 minutes.
LATEST_SECONDS = 150
Up = Callable[[], tuple[float, str]]


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is not up yet."""
    images.provide(cluster, stacks.settings("minikube"))
    with alone(cluster, tmp_path_factory.mktemp("failures"), NAMESPACE) as stack:
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
    for module in (_main, stacks):
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
    for name in ("postgres", "minio"):
        assert (
            f'volume claim data-{name}-0: gets no volume: storageclass.storage.k8s.io "not-there" '
            "not found" in said
        )
    assert "was stopped, for it would have waited in vain" in said.splitlines()[-1]
    # The way out is taken as it is told.
    told = re.findall(r"which never held anything: (kubectl .*)", said)
    assert len(told) == 2
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
