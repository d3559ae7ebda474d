"""A stack that version 0.1.0 brought up is taken over by today's program, with all of its data."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster, Source
from harness import clients
from harness.programs import CLONE, run
from harness.stack import Stack
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.users import add_user

# The commit of the tag v0.1.0. A clone may lack the tag.
RELEASED = "b83159d5dbc8943cf6c380d3a1519941bf357800"
NAMESPACE = "mlflow-e2e-upgrade"
HOLDS_DATA = {
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:core/v1:Namespace",
    "kubernetes:core/v1:Secret",
    "random:index/randomPassword:RandomPassword",
}
"""Types of the resources that hold data or a password, or whose claims hold data."""
REPLACEABLE = {"kubernetes:batch/v1:Job"}
"""Types of the resources that Pulumi may replace: a Job takes no update, and has done its work."""


@dataclass(frozen=True)
class Released:
    """A stack that version 0.1.0 brought up, and what was put into it."""

    stack: Stack
    machine: clients.Machine
    user: Mapping[str, str]
    """The environment of a client that is a user whom the admin made."""
    logged: Any
    """What the user reads from the server."""
    secrets: Mapping[str, str]
    """The generated passwords and keys, by the names of their resources."""
    volumes: Mapping[str, str]
    """The uid of each volume claim, by its name."""


def provide_images(cluster: Cluster, clone: Path) -> None:
    """Put the images of a version into the cluster: those of its Pulumi.yaml, of its sources."""
    declared = yaml.safe_load((clone / "Pulumi.yaml").read_text())["config"]
    image = {name: declared[f"{name}Image"]["default"] for name in ("server", "minio", "postgres")}
    folders = {"server": clone / "images" / "mlflow", "minio": clone / "images" / "minio"}
    builds = {image[name]: Source(folder, folder) for name, folder in folders.items()}
    if not cluster.provide([*image.values()], builds):
        pytest.skip(f"{cluster.describe()} is no minikube, which could build version 0.1.0")


def kind(urn: str) -> str:
    """Return the type of a resource, without the types of its parents."""
    return urn.split("::")[2].rpartition("$")[2]


def volumes(stack: Stack) -> dict[str, str]:
    found = stack.kubectl.items("persistentvolumeclaims")
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


@pytest.fixture(scope="module")
def clone(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project as version 0.1.0 was."""
    has = run(["git", "cat-file", "-e", RELEASED], environment, seconds=30, check=False)
    if has.returncode:
        pytest.skip(f"this clone lacks commit {RELEASED}: `git fetch --unshallow` brings it")
    folder = tmp_path_factory.mktemp("released")
    git = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(CLONE), str(folder)]
    run(git, environment, seconds=60)
    run(["git", "checkout", "--quiet", RELEASED], environment, seconds=60, folder=folder)
    return folder


@pytest.fixture(scope="module")
def released(
    cluster: Cluster, clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Released]:
    provide_images(cluster, clone)
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(
        cluster, tmp_path_factory.mktemp("upgrade"), NAMESPACE, clone=clone
    ) as stack:
        stack.change("up")
        machine = machine_of(stack, tmp_path_factory.mktemp("home"))
        user = add_user(stack, "alice")
        machine.run("first_run.py", client_env=user, seconds=60)
        logged = machine.run("read_everything.py", client_env=user, seconds=60)
        secrets = stack.generated_secrets()
        # What reads the output of the old program is done; from here on it is today's program.
        stack.upgrade()
        yield Released(stack, machine, user, logged, secrets, volumes(stack))


def test_nothing_that_holds_data_is_replaced_or_deleted(released: Released) -> None:
    said = released.stack.pulumi("preview", "--stack", "minikube", "--json", seconds=120)
    steps = [(step["op"], step["urn"]) for step in json.loads(said.stdout)["steps"]]
    print(json.dumps(steps, indent=1))
    assert {resource["type"] for resource in released.stack.noted()} >= HOLDS_DATA | REPLACEABLE
    # The preview leaves out what stays the same.
    gone = [(op, kind(urn)) for op, urn in steps if "replace" in op or op.startswith("delete")]
    assert [step for step in gone if step[1] in HOLDS_DATA] == []
    assert {what for op, what in gone if "replace" in op} <= REPLACEABLE


def test_runs_artifacts_users_and_passwords_are_kept(released: Released) -> None:
    stack = released.stack
    stack.change("up")
    assert len(released.logged["runs"]) == 1
    (logged,) = released.logged["runs"].values()
    assert logged["artifacts"].keys() == {"greeting.txt"}
    read = released.machine.run("read_everything.py", client_env=released.user, seconds=60)
    assert read == released.logged
    # Later versions have more volumes, such as the one for backups.
    assert volumes(stack).items() >= released.volumes.items()
    generated = stack.generated_secrets()
    assert {name: generated[name] for name in released.secrets} == released.secrets
    report = released.machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}


def test_a_second_up_changes_nothing(released: Released) -> None:
    released.stack.change("up")
    released.stack.change("up", "--expect-no-changes")
