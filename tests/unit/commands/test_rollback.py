"""`make rollback`: what it refuses, and that the image is set only when the tables are back.

tests/e2e/own_stack/test_failed_upgrade.py goes back to the tables of a real upgrade.
"""

import json
from pathlib import Path

import pytest

from commands import rollback, up
from commands.support import stack
from commands.support.cluster import UsersCluster
from commands.support.console import CommandError
from commands.support.jobs import Jobs
from tests.unit.commands.conftest import Program

DONE = {"state": "done", "from_image": "server:old", "dump": "20261127T013000Z", "kept": ""}
BACK = {**DONE, "state": "rolled back", "kept": "20261127T020000Z"}


class Told:
    """What the command did, in its order; its Job ends as a test says."""

    def __init__(self, folder: Path) -> None:
        self._record = folder / "record.json"
        self.done: list[str] = []
        self.ends = "Complete"

    def note(self, record: dict[str, str] | None) -> None:
        """Have the cluster hold a record of the last upgrade."""
        data = None if record is None else {"upgrade.json": json.dumps(record)}
        self._record.write_text(json.dumps({"data": data}))

    def run(self, cron_job: str, **_: object) -> tuple[str, str]:
        """Stand in for a Job of the CronJob."""
        self.done.append(cron_job)
        if self.ends == "Complete":
            self.note(BACK)
        return self.ends, ""


@pytest.fixture
def told(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told(tmp_path)
    program("kubectl", f"cat {tmp_path}/record.json")
    program("pulumi", f'echo "$*" > {tmp_path}/config')
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    found = stack.Stack("minikube", UsersCluster("ctx", environment))
    monkeypatch.setattr(stack, "chosen", lambda: found)
    monkeypatch.setattr(stack.Stack, "exists", lambda _: True)
    monkeypatch.setattr(Jobs, "run", told.run)

    def bring_up() -> None:
        told.done.append((tmp_path / "config").read_text().strip())
        told.done.append("up")

    monkeypatch.setattr(up, "command", bring_up)
    return told


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (None, "there is no upgrade to go back from .*none"),
        ({**DONE, "state": "failed"}, "there is no upgrade to go back from .*failed"),
        ({**DONE, "dump": ""}, "nothing was dumped before the last upgrade"),
        ({**DONE, "from_image": ""}, "nothing was dumped before the last upgrade"),
    ],
    ids=["no upgrade", "a failed one", "no dump", "no server before"],
)
def test_there_must_be_an_upgrade_with_a_dump(
    told: Told, record: dict[str, str] | None, why: str
) -> None:
    told.note(record)
    with pytest.raises(CommandError, match=why):
        rollback.command()
    assert told.done == []


def test_the_tables_go_back_then_the_image_then_the_stack_comes_up(told: Told) -> None:
    told.note(DONE)
    rollback.command()
    config = "config set --stack minikube mlflow:serverImage server:old"
    assert told.done == ["mlflow-rollback", config, "up"]


def test_a_command_that_was_cut_short_goes_on_with_the_image(told: Told) -> None:
    told.note(BACK)
    rollback.command()
    assert told.done[-1] == "up"
    assert "mlflow-rollback" not in told.done


def test_tables_that_stay_keep_the_image(told: Told) -> None:
    told.note(DONE)
    told.ends = "Failed"
    with pytest.raises(CommandError, match="`make rollback` tries again"):
        rollback.command()
    assert told.done == ["mlflow-rollback"]
