"""A stack that archives the write-ahead log goes back to a moment between two backups."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands import restore
from commands.support.backups import ARCHIVE
from commands.support.cluster import Cluster
from commands.support.console import CommandError
from harness import clients
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support import backups
from tests.e2e.support.restoring import back_up, everything, fill, jobs_of
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = pytest.mark.long

SETTINGS: dict[str, str] = {
    "backupPointInTime": "true",
    "backupStore": "artifacts",
    # The test makes each backup.
    "backupSchedule": "0 0 29 2 *",
}


@pytest.fixture
def stack(cluster: Cluster, tmp_path: Path) -> Iterator[Stack]:
    with temporary_stack(cluster, tmp_path, "mlflow-point-in-time") as made:
        made.change("up")
        yield made


def moment() -> str:
    """Return a moment as a user names one."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def archived(stack: Stack, since: datetime) -> None:
    """Wait until the archive has what was committed before."""

    def noted() -> bool:
        said = backups.in_a_backup_pod(stack, REACHED).split()
        return bool(said) and datetime.fromisoformat(said[-1].replace("Z", "+00:00")) > since

    wait_until(noted, 180, "the archive has what was committed", every=10)


REACHED = """
    from mlflow_kubernetes.backup import point
    from mlflow_kubernetes.backup.target import Target

    target = Target.from_environment()
    for system in target.folders(point.WAL):
        if until := point.reached(target, system):
            print(point.shown(until))
"""


def bring_back(stack: Stack, at: str, *, overwrite: bool = False) -> None:
    restore.bring_back(jobs_of(stack), "", at=at, replicas=1, overwrite=overwrite)


def test_a_loss_is_undone_up_to_the_moment_before_it(stack: Stack, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    machine: clients.Machine = machine_of(stack, home)
    alice = fill(stack, machine)
    with pytest.raises(CommandError, match="set mlflow:backupPointInTime to true"):
        bring_back(stack, moment())
    # The volume of the database is there already: its server gets the role and the rules.
    stack.set(**SETTINGS)
    stack.change("up")
    stack.kubectl("rollout", "status", f"deployment/{ARCHIVE}", "--timeout=180s", seconds=200)
    back_up(stack)
    machine.run("first_run.py", client_env=alice, seconds=60)
    before = everything(stack, machine, alice)
    at = moment()

    machine.run("first_run.py", client_env=alice, seconds=60)
    # Another pod of the archive goes on where the former one ended.
    stack.kubectl("rollout", "restart", f"deployment/{ARCHIVE}")
    stack.kubectl("rollout", "status", f"deployment/{ARCHIVE}", "--timeout=180s", seconds=200)
    archived(stack, datetime.now(UTC))
    assert everything(stack, machine, alice) != before
    with pytest.raises(CommandError, match="the WAL archive reaches to"):
        bring_back(stack, (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    with pytest.raises(CommandError, match=r"the stack holds data .*OVERWRITE=yes"):
        bring_back(stack, at)
    bring_back(stack, at, overwrite=True)
    assert everything(stack, machine, alice) == before

    back_up(stack)
    archived(stack, datetime.now(UTC))
    ended, said = backups.verified(stack)
    assert ended == "Complete", said
    assert "rows of runs from the WAL archive" in said
    lines, warnings = backups.reported(stack)
    assert (lines[-1], warnings) == ("WAL archive: up to date", [])
