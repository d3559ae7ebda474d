"""An upgrade of MLflow's tables that fails, then one that succeeds, then the way back.

A client of the old release logs meanwhile, and repeats calls as MLflow does by default.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest

from commands.rollback import CRON_JOB, former_image
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.jobs import Jobs
from components._migration import ready_since
from harness.stack import Stack
from tests.e2e.support import numbers_of_servers, old_servers
from tests.e2e.support.continuous_client import Logger, logging_meanwhile
from tests.e2e.support.numbers_of_servers import NUMBERS, UP_SECONDS, database_pod
from tests.e2e.support.older_data import OlderData
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

# `make test` has migrations that fail in shared_stack/test_known_problems.py, and the upgrade from
# the last release in test_upgrade.py.
pytestmark = pytest.mark.long

NAMESPACE = "mlflow-e2e-failed-upgrade"
# The oldest release that is tried has the most to migrate.
RELEASE = "3.10.1"
RUNS = 100
# A migration of the users' tables makes a table of this name. The tables of runs have changed then.
IN_THE_WAY = "role_permissions"


@dataclass(frozen=True)
class Old:
    """A stack on an older release, which holds data."""

    stack: Stack
    image: str
    data: OlderData
    loggers: list[Logger]
    """The clients that have logged so far."""

    @contextmanager
    def logger(self, *arguments: str) -> Iterator[Logger]:
        """Have a client of that release that logs meanwhile."""
        env = self.stack.client_env()
        with logging_meanwhile(self.data.client, env, *arguments) as logger:
            yield logger
        self.loggers.append(logger)


@pytest.fixture(scope="module", params=NUMBERS)
def old(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Old]:
    scratch = tmp_path_factory.mktemp("failed-upgrade")
    numbers_of_servers.provide(cluster, request.param)
    image = old_servers.provide(cluster, RELEASE, scratch)
    (folder := scratch / "stack").mkdir()
    with temporary_stack(cluster, folder, NAMESPACE) as stack:
        stack.set(serverImage=image, serverMemory="2Gi", **NUMBERS[request.param])
        stack.change("up", seconds=UP_SECONDS)
        machine = machine_of(stack, tmp_path_factory.mktemp("home"))
        yield Old(stack, image, OlderData(stack, machine, RELEASE, RUNS), [])


def sql(stack: Stack, database: str, statement: str) -> str:
    psql = ["psql", "-h", "127.0.0.1", "-U", "mlflow", "-d", database, "-qtAc", statement]
    return stack.kubectl("exec", database_pod(stack), "--", *psql).strip()


def record(stack: Stack) -> dict[str, str]:
    """Return what the stack keeps of the last upgrade."""
    found = stack.kubectl.json("get", "configmap", "mlflow-upgrade")["data"]["upgrade.json"]
    kept: dict[str, str] = json.loads(found)
    return kept


def without_server(stack: Stack) -> float:
    """Return for how many seconds no server ran in the last upgrade."""
    status = stack.kubectl.json("get", "deployment", "mlflow")["status"]
    ready = ready_since(status)
    assert ready is not None
    return (ready - datetime.fromisoformat(record(stack)["stopped"])).total_seconds()


def image_of(stack: Stack) -> str:
    found = stack.kubectl.json("get", "deployment", "mlflow")
    image: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def test_a_failed_upgrade_leaves_the_former_version_serving(old: Old) -> None:
    stack = old.stack
    sql(stack, "mlflow_auth", f"CREATE TABLE {IN_THE_WAY} (id int)")
    before = sql(stack, "mlflow", "SELECT version_num FROM alembic_version")
    with old.logger():
        stack.pulumi("config", "rm", "--stack", "minikube", "serverImage")
        said = stack.change("up", check=False)
        print(said)
    assert "failed" in said
    seconds = without_server(stack)
    print(f"no server ran for {seconds:.0f} s")
    # The goal is 60 s. Beside other tests, the start of a server alone takes up to 60 s.
    assert seconds < 120
    assert f'"{IN_THE_WAY}" already exists; nothing was changed, and 1 server of the' in said
    assert image_of(stack) == old.image
    assert sql(stack, "mlflow", "SELECT version_num FROM alembic_version") == before
    old.data.assert_kept(old.loggers, upgraded=False)


def test_an_upgrade_keeps_all_and_says_how_long_no_server_answered(old: Old) -> None:
    stack = old.stack
    sql(stack, "mlflow_auth", f"DROP TABLE {IN_THE_WAY}")
    with old.logger("--traces"):
        start = time.monotonic()
        said = stack.change("up")
        print(f"{said}\npulumi up: {time.monotonic() - start:.1f} s")
    assert "MLflow's tables were upgraded for" in said
    assert "no server answered for" in said
    upgrade = stack.outputs()["last_upgrade"]
    print(upgrade)
    assert upgrade["state"] == "done"
    assert upgrade["from_image"] == old.image
    stack.change("up", "--expect-no-changes")
    old.data.assert_kept(old.loggers)


def test_the_way_back_restores_what_was_there_before(old: Old) -> None:
    stack = old.stack
    settings = stacks.settings("minikube")
    jobs = Jobs(stack.environment, stack.namespace, settings.images)
    lines: list[str] = []
    start = time.monotonic()
    ended, said = jobs.run(CRON_JOB, tell=lines.append)
    print("\n".join(lines), said)
    assert ended == "Complete"
    assert former_image(jobs) == old.image
    stack.set(serverImage=old.image)
    stack.change("up")
    print(f"the way back: {time.monotonic() - start:.1f} s")
    assert image_of(stack) == old.image
    with old.logger():
        pass
    kept = record(stack)
    assert kept["kept"] > kept["dump"] > ""
