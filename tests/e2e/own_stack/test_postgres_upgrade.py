"""PostgreSQL's next major version: `up` moves all data, and the former data stay until removed."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from commands.drop_former_database import CONTAINER, POD, drop
from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.console import CommandError
from harness import clients, pod_processes
from harness.programs import CLONE, ProgramError
from harness.stack import Stack, kill
from harness.waiting import wait_until
from tests.e2e.support import third_party
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.users import add_user

pytestmark = pytest.mark.long

NAMESPACE = "mlflow-e2e-postgres"
FORMER = "mlflow-kubernetes/test-postgres:17"
FOLDER = CLONE / "tests" / "e2e" / "support" / "postgres_17"
# A role and a database that somebody made by hand, beside those of MLflow.
BY_HAND = """\
CREATE ROLE reader LOGIN PASSWORD 'words of the reader';
GRANT CONNECT ON DATABASE mlflow TO reader;
\\connect mlflow
GRANT SELECT ON runs TO reader;
CREATE DATABASE "of ours";
"""
LATE = "CREATE TABLE late AS SELECT 'a late row'"
ASKED = """\
SELECT version_num FROM alembic_version;
SELECT rolname, rolsuper, rolcanlogin FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1;
SELECT datname, pg_get_userbyid(datdba), encoding, datcollate, datacl FROM pg_database ORDER BY 1;
SELECT relname, relacl, pg_get_userbyid(relowner) FROM pg_class
  WHERE relnamespace = 'public'::regnamespace ORDER BY 1;
"""


@dataclass(frozen=True)
class Served:
    """A stack on the former major version, and what was put into it."""

    stack: Stack
    machine: clients.Machine
    user: Mapping[str, str]
    logged: Any
    asked: str
    """What PostgreSQL answers to `ASKED`."""


def psql(stack: Stack, script: str) -> str:
    program = ["psql", "-h", "127.0.0.1", "-U", "postgres", "-d", "mlflow", "-XqAt"]
    command = ["exec", "-i", POD, f"--container={CONTAINER}", "--", *program]
    return stack.kubectl(*command, "-v", "ON_ERROR_STOP=1", stdin=script)


def in_pod(stack: Stack, *program: str) -> str:
    return stack.kubectl("exec", POD, f"--container={CONTAINER}", "--", *program)


def loading(stack: Stack) -> dict[str, Any]:
    """Return the state of the container that loads the dumps, and its last one."""
    pod = stack.kubectl.json("get", "pod", POD)
    states = pod["status"].get("initContainerStatuses", [])
    return next((one for one in states if one["name"] == "upgrade-load"), {})


def stop(stack: Stack, process: subprocess.Popen[bytes]) -> None:
    """End an `up`, and what it holds locked."""
    kill(process, group=True)
    stack.pulumi("cancel", "--yes", "--stack", "minikube")


@pytest.fixture(scope="module")
def served(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    third_party.provide(cluster, FORMER, FOLDER)
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(cluster, tmp_path_factory.mktemp("stack"), NAMESPACE) as stack:
        stack.set(postgresImage=FORMER)
        stack.change("up")
        machine = machine_of(stack, tmp_path_factory.mktemp("home"))
        user = add_user(stack, "alice")
        machine.run("first_run.py", client_env=user, seconds=60)
        logged = machine.run("read_everything.py", client_env=user, seconds=60)
        psql(stack, BY_HAND)
        yield Served(stack, machine, user, logged, psql(stack, ASKED))


def test_another_major_version_is_refused_without_the_former_image(served: Served) -> None:
    served.stack.pulumi("config", "rm", "--stack", "minikube", "postgresImage")
    with pytest.raises(ProgramError, match="or a newer major version with postgresFormerImage"):
        served.stack.change("up")
    served.stack.set(postgresFormerImage="postgres:16.4")
    with pytest.raises(ProgramError, match=f"accepted: '{FORMER}', which wrote the volume"):
        served.stack.change("up")


def test_an_upgrade_that_fails_leaves_the_former_data_as_they_are(served: Served) -> None:
    stack = served.stack
    in_pod(stack, "mkdir", "-p", "/var/lib/postgresql/18/docker/in the way")
    stack.set(postgresFormerImage=FORMER)
    process = stack.start("up")
    said = "error: /var/lib/postgresql/18/docker holds files that are no database"
    try:
        wait_until(lambda: said in json.dumps(loading(stack)), 180, "the upgrade fails")
    finally:
        stop(stack, process)
    stack.set(postgresImage=FORMER)
    stack.pulumi("config", "rm", "--stack", "minikube", "postgresFormerImage")
    # As `make up` does: the state does not know what the `up` that was ended has changed.
    stack.change("up", "--refresh")
    assert psql(stack, ASKED) == served.asked
    read = served.machine.run("read_everything.py", client_env=served.user, seconds=60)
    assert read == served.logged
    # The server has written since the dump, which is out of date.
    psql(stack, LATE)
    in_pod(stack, "rm", "-r", "/var/lib/postgresql/18")


def test_up_moves_all_data(served: Served) -> None:
    stack = served.stack
    stack.pulumi("config", "rm", "--stack", "minikube", "postgresImage")
    stack.set(postgresFormerImage=FORMER)
    process = stack.start("up")
    try:
        wait_until(
            lambda: "running" in loading(stack).get("state", {}),
            180,
            "the dumps are loaded",
            every=0.05,
        )
        for one in pod_processes.visible_of_pod(stack.kubectl.json("get", "pod", POD)):
            os.kill(one, signal.SIGKILL)
        wait_until(lambda: loading(stack).get("restartCount"), 60, "the container starts again")
    finally:
        stop(stack, process)
    stack.change("up", "--refresh")
    assert psql(stack, "SHOW server_version").startswith("18")
    assert psql(stack, "SELECT * FROM late").split() == ["a", "late", "row"]
    psql(stack, "DROP TABLE late")
    assert psql(stack, ASKED) == served.asked
    read = served.machine.run("read_everything.py", client_env=served.user, seconds=60)
    assert read == served.logged
    report = served.machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}
    stack.change("up", "--expect-no-changes")
    stack.pulumi("config", "rm", "--stack", "minikube", "postgresFormerImage")
    stack.change("up")
    stack.change("up", "--expect-no-changes")
    read = served.machine.run("read_everything.py", client_env=served.user, seconds=60)
    assert {run: read["runs"][run] for run in served.logged["runs"]} == served.logged["runs"]


def test_the_former_image_does_not_start_on_data_that_are_out_of_date(served: Served) -> None:
    served.stack.set(postgresImage=FORMER)
    with pytest.raises(ProgramError, match="accepted: a release of PostgreSQL 18"):
        served.stack.change("up")
    served.stack.pulumi("config", "rm", "--stack", "minikube", "postgresImage")


def test_the_former_data_stay_until_they_are_removed(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    def program(*words: str) -> str:
        return in_pod(served.stack, *words)

    former = "/var/lib/postgresql/17/former"
    drop(program, confirmed=False)
    assert f"{former}: " in capsys.readouterr().err
    assert program("cat", f"{former}/PG_VERSION") == "17\n"
    drop(program, confirmed=True)
    with pytest.raises(CommandError, match="nothing to remove"):
        drop(program, confirmed=True)
