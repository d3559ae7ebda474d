"""A backup of one stack brought back into a new stack on another kind of store, and the reverse.

MinIO's source is frozen, and MinIO cannot change the number of its servers: so a stack on MinIO is
also brought back on four servers, and on SeaweedFS.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.backend_stores import MYSQL, POSTGRES, Database
from harness.stack import Stack
from tests.e2e.support import external_servers, seaweedfs
from tests.e2e.support.artifact_stores import BUCKET_OUTSIDE, HDFS, MINIO, Store
from tests.e2e.support.external_servers import BUCKET, Outside
from tests.e2e.support.numbers_of_servers import SEVERAL, UP_SECONDS
from tests.e2e.support.restoring import SECRETS, as_client_of, back_up, bring_back, everything, fill
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = pytest.mark.long

PASSPHRASE = secrets.token_urlsafe(30)


@dataclass(frozen=True)
class Place:
    """A stack whose backups go to the bucket outside the cluster, and a client's machine."""

    stack: Stack
    machine: clients.Machine


@pytest.fixture(scope="module")
def outside(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with external_servers.running(cluster, tmp_path_factory.mktemp("servers") / "all") as servers:
        yield servers


@pytest.fixture
def places(cluster: Cluster, outside: Outside, tmp_path: Path) -> Iterator["_Places"]:
    with ExitStack() as block:
        yield _Places(cluster, outside, tmp_path, block)


@dataclass(frozen=True)
class _Places:
    cluster: Cluster
    outside: Outside
    folder: Path
    block: ExitStack

    def make(
        self, database: Database, store: Store, more: Mapping[str, str] = {}, key: str = ""
    ) -> Place:
        """Bring up a stack that reads and writes the backups of every other one.

        Args:
            database: its database.
            store: its artifact store.
            more: further settings of the store.
            key: the secret key of a store outside the cluster.
        """
        chosen = {"backendStore": database.name, "artifactStore": store.name, **more}
        secret = {"s3SecretAccessKey": key} if key else {}
        # The settings of a key are refused one without the other, and no image depends on them.
        known = {name: value for name, value in chosen.items() if name != "s3AccessKeyId"}
        images.provide(self.cluster, stacks.settings("minikube", **known))
        name = f"{database.name}-{len(more)}-{store.name}"
        folder = self.folder / name
        folder.mkdir()
        namespace = f"mlflow-restore-{name}"
        stack = self.block.enter_context(temporary_stack(self.cluster, folder, namespace, database))
        stack.set(
            **chosen,
            backupStore="s3",
            backupBucket=BUCKET,
            backupEndpoint=self.outside.endpoint(),
            backupAccessKeyId="mlflow",
        )
        stack.set_secret(
            backupSecretAccessKey=self.outside.key,
            backupPassphrase=PASSPHRASE,
            # No secret: an argument that begins with a dash is taken for an option.
            backupCa=self.outside.ca,
        )
        stack.secrets |= {"passphrase of backups": PASSPHRASE, "key of backups": self.outside.key}
        stack.set_secret(**secret)
        stack.secrets |= secret
        stack.change("up", seconds=UP_SECONDS)
        home = folder / "home"
        home.mkdir()
        return Place(stack, machine_of(stack, home))


def test_mysql_and_minio_come_back_on_mysql_and_hdfs_and_the_reverse(places: _Places) -> None:
    first, second = places.make(MYSQL, MINIO), places.make(MYSQL, HDFS)
    alice = fill(first.stack, first.machine)
    before = everything(first.stack, first.machine, alice)
    assert before[-1] == SECRETS
    back_up(first.stack)

    bring_back(second.stack)
    there = as_client_of(second.stack, alice)
    assert everything(second.stack, second.machine, there) == before

    second.machine.run("first_run.py", client_env=there, seconds=60)
    more = everything(second.stack, second.machine, there)
    assert more != before
    back_up(second.stack)
    bring_back(first.stack, overwrite=True)
    assert everything(first.stack, first.machine, alice) == more


def comes_back(
    places: _Places, store: Store, settings: Mapping[str, str], key: str = ""
) -> tuple[Place, Place, dict[str, str]]:
    """Show that what a stack on MinIO holds comes back on another one, where clients go on.

    Returns:
        both stacks, and the environment of alice's client of the first one.
    """
    first = places.make(POSTGRES, MINIO)
    second = places.make(POSTGRES, store, settings, key)
    alice = fill(first.stack, first.machine)
    before = everything(first.stack, first.machine, alice)
    back_up(first.stack)

    bring_back(second.stack)
    there = as_client_of(second.stack, alice)
    assert everything(second.stack, second.machine, there) == before
    second.machine.run("first_run.py", client_env=there, seconds=60)
    return first, second, alice


def test_single_servers_come_back_on_several_and_the_reverse(places: _Places) -> None:
    first, second, alice = comes_back(places, MINIO, SEVERAL)
    more = everything(second.stack, second.machine, as_client_of(second.stack, alice))
    back_up(second.stack)
    bring_back(first.stack, overwrite=True)
    assert everything(first.stack, first.machine, alice) == more


def test_minio_comes_back_on_seaweedfs(places: _Places, tmp_path: Path) -> None:
    with seaweedfs.running(tmp_path / "seaweedfs") as server:
        settings = {
            "s3Bucket": seaweedfs.BUCKET,
            "s3Endpoint": server.endpoint,
            "s3AccessKeyId": seaweedfs.KEY_ID,
        }
        comes_back(places, BUCKET_OUTSIDE, settings, server.key)
