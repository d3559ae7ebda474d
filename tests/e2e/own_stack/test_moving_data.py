"""A second stack takes the first one's place: the blocks of docs/moving-data.md, as they are."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.programs import run
from harness.stack import Stack
from tests.documents import block
from tests.e2e.support import database_password
from tests.e2e.support.artifact_stores import HDFS, MINIO
from tests.e2e.support.document_reader import Reader
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = pytest.mark.long

DATABASE = block("docs/moving-data.md, 2. The database, 1")
FROM_THE_FIRST = block("docs/moving-data.md, 3. The artifacts, 1")
INTO_THE_SECOND = block("docs/moving-data.md, 3. The artifacts, 2")


@dataclass(frozen=True)
class Moved:
    """A stack, and this machine as its client."""

    stack: Stack
    machine: clients.Machine

    def shell(self, script: str) -> None:
        """Run what its admin copied."""
        Reader(self.stack, self.machine).run(script, admin=True)

    def client(self, script: str, *arguments: str) -> Any:
        """Run a client's script, and return what it prints."""
        env = self.stack.client_env()
        return self.machine.run(script, *arguments, client_env=env, seconds=180)


@pytest.fixture(scope="module")
def pair(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Moved]]:
    """The first stack, and the second one."""
    with ExitStack() as block:
        found = []
        for store in (MINIO, HDFS):
            images.provide(cluster, stacks.settings("minikube", artifactStore=store.name))
            folder = tmp_path_factory.mktemp(store.name)
            stack = block.enter_context(
                temporary_stack(cluster, folder, f"mlflow-e2e-moved-{store.name}")
            )
            stack.set(artifactStore=store.name)
            stack.change("up")
            found.append(Moved(stack, machine_of(stack, tmp_path_factory.mktemp("home"))))
        yield found


def test_what_was_logged_is_the_same_in_the_second_stack(pair: list[Moved], tmp_path: Path) -> None:
    first, second = pair
    first.client("training_job.py", "moved", "--artifact", "5", "--artifact", "1000000")
    first.client("first_run.py")
    logged = first.client("read_everything.py")
    assert len(logged["runs"]) >= 2
    assert logged["versions"]
    assert all(run["artifacts"] for run in logged["runs"].values())

    copy = DATABASE.replace("-n mlflow-new ", f"-n {second.stack.namespace} ")
    copy = copy.replace("-n mlflow ", f"-n {first.stack.namespace} ")
    run(["bash", "-euo", "pipefail", "-c", copy], first.stack.environment, seconds=120)
    for moved, script in ((first, FROM_THE_FIRST), (second, INTO_THE_SECOND)):
        # Each of these stacks has a backend of its own, and is called `minikube` there.
        here = script.replace(" STACK=new", "").replace("/tmp/artifacts", f"{tmp_path}/artifacts")  # noqa: S108
        moved.shell(here)
    assert second.client("read_everything.py") == logged
    second.client("first_run.py")


def test_a_databases_password_can_be_replaced(pair: list[Moved]) -> None:
    first, _ = pair
    database_password.assert_can_be_replaced(first.stack)
    first.client("first_run.py")
