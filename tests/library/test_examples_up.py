"""Each example, brought up on the real cluster with the wheel; a real client logs a run."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands.support import cluster as clusters
from commands.support import images
from commands.support import stack as stacks
from commands.up import wait
from harness import clients, pod_processes
from harness.kubectl import Kubectl
from harness.programs import run
from harness.waiting import wait_until
from lab import tools
from tests.e2e.support import external_servers as servers
from tests.library import examples
from tests.library.conftest import Environment

pytestmark = pytest.mark.e2e

IMAGES: dict[str, dict[str, Any]] = {
    "mysql-and-hdfs": {"backendStore": "mysql", "artifactStore": "hdfs"},
    "beside-your-own-resources": {"clientWorkspace": True},
}
"""What an example needs beside the images of PostgreSQL, MinIO and the server."""
UP_SECONDS = 300


@dataclass(frozen=True)
class Program:
    """An example in a folder of its own, with a state of its own."""

    folder: Path
    environment: dict[str, str]

    def pulumi(self, *arguments: str, seconds: float = 60, stdin: str = "") -> str:
        """Run Pulumi in the program's folder, and return what it printed."""
        command = ["pulumi", *arguments, "--non-interactive"]
        return run(
            command, self.environment, seconds=seconds, folder=self.folder, stdin=stdin
        ).stdout


@contextmanager
def up(
    name: str,
    environment: Mapping[str, str],
    project: Path,
    settings: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Bring a copied example up, yield its outputs, and destroy all that it made."""
    kubectl = Kubectl(environment)
    # Not deleted by the test: a user of this cluster may have brought the example up.
    if there := _namespaces(kubectl) & set(examples.NAMESPACES[name]):
        pytest.fail(f"exists already, of a user or of a run that was killed: namespaces {there}")
    state = project.with_name(f"{name}-state")
    state.mkdir()
    own = {
        "PULUMI_BACKEND_URL": f"file://{state}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(24),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    program = Program(project, {**environment, **own})
    program.pulumi("stack", "init", "dev")
    for key, value in (settings or {}).items():
        program.pulumi("config", "set", "--secret", key, stdin=value)
    try:
        program.pulumi("up", "--yes", "--skip-preview", seconds=UP_SECONDS)
        answer = program.pulumi("stack", "output", "--json", "--show-secrets")
        outputs: dict[str, Any] = json.loads(answer)
        yield outputs
        # A stranger's second `up` has nothing to do.
        program.pulumi("preview", "--expect-no-changes")
    finally:
        program.pulumi("destroy", "--yes", "--skip-preview", seconds=UP_SECONDS)
        pod_processes.end_working_in(program.folder)
    assert not _namespaces(kubectl) & set(examples.NAMESPACES[name])


def _namespaces(kubectl: Kubectl) -> set[str]:
    names = "jsonpath={.items[*].metadata.name}"
    return set(kubectl("get", "namespaces", f"--output={names}").split())


def log_a_run(
    namespace: str, client_env: dict[str, str], cluster: clusters.Cluster, home: Path
) -> None:
    """Log a run through the ingress, as the admin, and read it back."""
    kubectl = Kubectl(cluster.environment, namespace)
    published = "jsonpath={.items[*].status.loadBalancer.ingress[0].ip}"
    addresses: list[str] = []

    def is_published() -> bool:
        addresses[:] = kubectl("get", "ingresses", f"--output={published}").split()
        return bool(addresses)

    wait_until(is_published, 60, "the ingress controller publishes an address")
    wait(client_env["MLFLOW_TRACKING_URI"], addresses[0], None, client_env)
    clients.make_virtual_environment()
    machine = clients.Machine(home, f"{addresses[0]} {namespace}.local")
    logged = machine.run("first_run.py", client_env=client_env, seconds=120)
    assert logged == {"answer": 42, "greeting": "hello"}


def copied(name: str, folder: Path, environment: Environment) -> Path:
    """Copy an example, with the wheel installed where its `virtualenv` option looks for it."""
    project = examples.copy(name, folder)
    (project / "venv").symlink_to(environment.folder)
    return project


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("beside-your-own-resources", marks=pytest.mark.long),
        pytest.param("postgres-and-minio", marks=pytest.mark.long),
        pytest.param("mysql-and-hdfs", marks=pytest.mark.long),
        pytest.param("two-trackers", marks=pytest.mark.long),
    ],
)
def test_an_example_comes_up_and_takes_a_run(
    name: str, cluster: clusters.Cluster, pinned: Environment, tmp_path: Path
) -> None:
    images.provide(cluster, stacks.settings("minikube", **IMAGES.get(name, {})))
    project = copied(name, tmp_path, pinned)
    with up(name, cluster.environment, project) as outputs:
        for namespace in examples.NAMESPACES[name]:
            prefix = "" if namespace == name else f"{namespace.removesuffix('-tracking')}_"
            assert outputs[f"{prefix}tracking_uri"] == f"http://{namespace}.local"
            log_a_run(namespace, outputs[f"{prefix}client_env"], cluster, tmp_path)


@pytest.mark.long
def test_the_example_of_existing_backends_uses_them(
    cluster: clusters.Cluster, pinned: Environment, tmp_path: Path
) -> None:
    name = "existing-database-and-bucket"
    project = copied(name, tmp_path, pinned)
    with servers.running(cluster, tmp_path / "servers") as there:
        settings = {
            "databaseUri": there.uri(),
            "usersDatabaseUri": there.uri(name="users"),
            "databaseCa": there.database_ca,
            "bucket": servers.BUCKET,
            "endpoint": there.endpoint(),
            "endpointCa": there.ca,
            "accessKeyId": "mlflow",
            "secretAccessKey": there.key,
        }
        with up(name, cluster.environment, project, settings) as outputs:
            log_a_run(name, outputs["client_env"], cluster, tmp_path)
            assert list(there.objects.rglob("greeting.txt*"))


def test_the_components_come_up_from_a_program_in_yaml(
    cluster: clusters.Cluster, repository: Path, tmp_path: Path
) -> None:
    """The engine asks the provider in a copy of this repository for a schema, and has it make
    each component."""
    name = "pulumi-yaml"
    images.provide(cluster, stacks.settings("minikube"))
    with up(name, with_yaml_host(cluster.environment), repository / "examples" / name) as outputs:
        log_a_run(name, outputs["client_env"], cluster, tmp_path)


def with_yaml_host(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which the engine finds the host of YAML programs.

    A release of Pulumi brings the host along; the lab builds it.
    """
    if shutil.which("pulumi-language-yaml", path=environment["PATH"]):
        return dict(environment)
    tools.build("pulumi-language-yaml")
    folder = tools.program("pulumi-language-yaml").parent
    return {**environment, "PATH": f"{environment['PATH']}{os.pathsep}{folder}"}
