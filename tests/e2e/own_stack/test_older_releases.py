"""A stack on a released MLflow, with data that this release's own client made, gets today's image.

Every row, every artifact, every login and every permission is compared. A client of the old release
logs meanwhile, and repeats calls as MLflow does by default.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.backend_stores import DATABASES
from harness.stack import Stack
from tests.e2e.support import external_servers, old_servers, tables
from tests.e2e.support.continuous_client import logging_meanwhile
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.users import add_user

NAMESPACE = "mlflow-e2e-older"
SMALL, FULL = 100, 10_000
"""Numbers of runs."""
# The oldest release has the most to migrate.
OLDEST = "3.10.1"
RELEASES = (OLDEST, "3.13.0", "3.16.1")
HISTORIES = 100
"""Of this many runs, the whole history of metrics is read through the API as well."""
# Reading 10,000 runs with their files takes minutes.
READ_SECONDS = 1800


def test_upgrade_keeps_every_row_and_file(cluster: Cluster, tmp_path: Path) -> None:
    with older_stack(cluster, tmp_path, OLDEST, "postgres") as stack:
        assert_all_is_kept(stack, tmp_path, OLDEST, SMALL)


@pytest.mark.long
@pytest.mark.parametrize("where", ["embedded", "external"])
@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("release", RELEASES)
def test_upgrade_keeps_every_row_and_file_of_a_large_stack(
    cluster: Cluster, tmp_path: Path, release: str, database: str, where: str
) -> None:
    with older_stack(cluster, tmp_path, release, database, external=where == "external") as stack:
        assert_all_is_kept(stack, tmp_path, release, FULL)


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


def assert_all_is_kept(stack: Stack, scratch: Path, release: str, runs: int) -> None:
    """Make data, change the image, and compare."""
    (home := scratch / "home").mkdir()
    machine = machine_of(stack, home)
    older = replace(machine, venv=clients.released_environment(release))
    admin, alice = stack.client_env(), add_user(stack, "alice")
    bob = admin | {"MLFLOW_TRACKING_USERNAME": "bob", "MLFLOW_TRACKING_PASSWORD": "password of bob"}

    made = older.run(
        *("make_data.py", f"--runs={runs}", "--user=alice"), client_env=admin, seconds=READ_SECONDS
    )
    print(f"{release}: {made['runs']} runs, {made['traces']} traces; seconds: {made['seconds']}")
    print(f"{release} has none of these: {made['skipped']}")

    def read() -> tuple[Any, dict[str, tables.Table]]:
        everything = machine.run(
            *("read_everything.py", f"--histories={HISTORIES}"),
            client_env=admin,
            seconds=READ_SECONDS,
        )
        return everything, tables.read(stack.kubectl)

    def access() -> dict[str, Any]:
        return {
            user: machine.run(
                *("try_access.py", json.dumps(made["things"])), client_env=env, seconds=60
            )
            for user, env in {"alice": alice, "bob": bob}.items()
        }

    allowed = access()
    assert allowed["alice"]["experiment"] == "done"
    assert allowed["bob"]["other experiment"] == "nothing"
    assert allowed["bob"]["other prompt"] == "PERMISSION_DENIED"
    before, rows_before = read()
    assert len(before["runs"]) == runs
    for owner, files in made["files"].items():
        assert artifacts(before, owner) == files

    with logging_meanwhile(older, admin, "--traces") as logger:
        stack.pulumi("config", "rm", "--stack", "minikube", "serverImage")
        start = time.monotonic()
        said = stack.change("up")
        print(said)
        print(f"pulumi up: {time.monotonic() - start:.1f} s")
    report = logger.report

    after, rows_after = read()
    assert after["runs"].pop(report["run_id"])
    for trace in report["trace_ids"]:
        after["traces"].pop(trace, None)
    still_logged = [report["run_id"], *report["trace_ids"]]
    assert tables.differences(rows_before, rows_after, ignored=still_logged) == []
    for kind in before:
        assert after[kind] == before[kind], kind
    assert access() == allowed
    count = sum(len(table.rows) for table in rows_before.values())
    files = sum(map(len, made["files"].values()))
    print(f"equal: {count} rows of {len(rows_before)} tables, {files} artifacts")


def artifacts(everything: Any, owner: str) -> Any:
    """Return the sha256 of each artifact of a run or a logged model."""
    place = "logged models" if owner in everything["logged models"] else "runs"
    return everything[place][owner]["artifacts"]
