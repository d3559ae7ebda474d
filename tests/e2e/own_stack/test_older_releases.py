"""A stack on a released MLflow, with data that this release's own client made, gets today's image.

Every row, every artifact, every login and every permission is compared. A client of the old release
logs meanwhile, and repeats calls as MLflow does by default.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness.backend_stores import DATABASES
from harness.stack import Stack
from tests.e2e.support import external_servers, old_servers
from tests.e2e.support.continuous_client import logging_meanwhile
from tests.e2e.support.older_data import OlderData
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = pytest.mark.long

NAMESPACE = "mlflow-e2e-older"
RELEASES = ("3.10.1", "3.13.0", "3.16.1")
RUNS = 10_000


@pytest.mark.parametrize("where", ["embedded", "external"])
@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("release", RELEASES)
def test_upgrade_keeps_every_row_and_file(
    cluster: Cluster, tmp_path: Path, release: str, database: str, where: str
) -> None:
    with older_stack(cluster, tmp_path, release, database, external=where == "external") as stack:
        assert_all_is_kept(stack, tmp_path, release)


@contextmanager
def older_stack(
    cluster: Cluster, scratch: Path, release: str, database: str, *, external: bool = False
) -> Iterator[Stack]:
    """Have a stack that is up on a released MLflow."""
    images.provide(cluster, stacks.settings("minikube", backendStore=database))
    image = old_servers.provide(cluster, release, scratch)
    servers = external_servers.running(cluster, scratch / "servers") if external else no_servers()
    (scratch / "stack").mkdir()
    with (
        servers as outside,
        temporary_stack(cluster, scratch / "stack", NAMESPACE, DATABASES[database]) as stack,
    ):
        # Each worker of a release imports all of MLflow for itself.
        stack.set(serverImage=image, serverMemory="2Gi")
        if outside:
            use_external_database(stack, outside, database)
        stack.change("up")
        yield stack


@contextmanager
def no_servers() -> Iterator[None]:
    yield None


def use_external_database(stack: Stack, outside: external_servers.Outside, database: str) -> None:
    """Set an existing database, whose server is on this machine."""
    address = outside.uri if database == "postgres" else outside.mysql_uri
    stack.set(backendStore="external")
    stack.set_secret(
        databaseUri=address(name="mlflow"),
        authDatabaseUri=address(name="users"),
        databaseCa=outside.database_ca,
    )


def assert_all_is_kept(stack: Stack, scratch: Path, release: str) -> None:
    """Make data, change the image, and compare."""
    (home := scratch / "home").mkdir()
    data = OlderData(stack, machine_of(stack, home), release, RUNS)
    with logging_meanwhile(data.client, stack.client_env(), "--traces") as logger:
        stack.pulumi("config", "rm", "--stack", "minikube", "serverImage")
        start = time.monotonic()
        said = stack.change("up")
        print(said)
        print(f"pulumi up: {time.monotonic() - start:.1f} s")
    data.assert_kept([logger])
