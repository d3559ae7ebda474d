"""`make rotate`: what it accepts, what it sets in the stack's file, and what it says to do next."""

import json
import re
from pathlib import Path

import pytest

from commands import rotate, up
from commands.support import stack
from commands.support.cluster import UsersCluster
from commands.support.console import CommandError
from settings.values import ROTATED
from tests.unit.commands.conftest import Program


class Told:
    """What the command did, in its order, on a stack with settings of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "config"
        self.did_up = 0

    @property
    def config(self) -> str:
        return self._config.read_text().strip() if self._config.exists() else ""

    def up(self) -> None:
        assert self.config
        self.did_up += 1


@pytest.fixture
def told(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told(tmp_path)
    program("pulumi", f'echo "$*" > {tmp_path}/config')
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    found = stack.Stack("minikube", UsersCluster("ctx", environment))
    monkeypatch.setattr(stack, "chosen", lambda: found)
    monkeypatch.setattr(stack.Stack, "exists", lambda _: True)
    monkeypatch.setattr(up, "command", told.up)
    return told


def with_settings(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """Let the stack's file have these settings."""
    given = stack._given("minikube").changed(**values)
    monkeypatch.setattr(stack, "_given", lambda _: given)


def rotation(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHAT", what)
    rotate.command()


@pytest.mark.parametrize("what", ["", "databases", "all,kec", "DATABASE", ","])
def test_names_are_checked_before_anything_else(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "running", lambda: pytest.fail("too early"))
    with pytest.raises(CommandError, match=r"^WHAT=.*: accepted: all, or names .*: database, sto"):
        rotation(what, monkeypatch)


def test_numbers_are_raised_and_the_stack_comes_up(
    told: Told, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with_settings(monkeypatch, rotation={"database": 2, "page": 1})
    rotation("kek, database", monkeypatch)
    before, _, after = told.config.partition("{")
    assert before == "config set --stack minikube mlflow:rotation "
    assert json.loads("{" + after) == {"database": 3, "kek": 1, "page": 1}
    assert told.did_up == 1
    said = "".join(capfd.readouterr())
    assert "with database 3, kek 1 now" in said
    assert "rotated kek: keys of model providers: nothing to do" in said
    assert "not rotated: storeRoot, for which MinIO restarts" in said


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("page", ["database, for which MySQL", "storeRoot, for which MinIO"]),
        ("database,storeRoot", []),
    ],
)
def test_what_restarts_for_a_rotation_is_named_unless_it_was_rotated(
    told: Told,
    what: str,
    left: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with_settings(monkeypatch, backendStore="mysql")
    rotation(what, monkeypatch)
    assert told.did_up == 1
    said = re.findall(r"not rotated: (.*) restarts", "".join(capfd.readouterr()))
    assert said == left


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, "database store admin page kek webhook"),
        ({"backendStore": "mysql"}, "store admin page kek webhook"),
        ({"artifactStore": "hdfs"}, "database admin page kek webhook"),
        ({"auth": "none"}, "database store page kek webhook"),
    ],
)
def test_all_is_what_the_stack_generates_and_replaces_without_a_gap(
    told: Told, settings: dict[str, str], names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, **settings)
    rotation("all", monkeypatch)
    chosen = json.loads(told.config[told.config.index("{") :])
    assert chosen == dict.fromkeys(names.split(), 1)


@pytest.mark.parametrize(
    ("what", "settings"),
    [("admin", {"auth": "none"}), ("all,store", {"artifactStore": "hdfs"})],
)
def test_what_the_stack_cannot_rotate_changes_nothing(
    told: Told, what: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, **settings)
    with pytest.raises(
        CommandError, match=r"^mlflow:rotation: .*; accepted: \w+ only with \w+: \w+"
    ):
        rotation(what, monkeypatch)
    assert (told.config, told.did_up) == ("", 0)


def test_a_file_that_cannot_be_changed_is_told(
    told: Told, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("pulumi", "echo 'error: no passphrase' >&2; exit 1")
    with pytest.raises(CommandError, match="mlflow:rotation cannot be set: error: no passphrase"):
        rotation("all", monkeypatch)
    assert told.did_up == 0


def test_every_name_says_what_to_do_next() -> None:
    assert rotate.NEXT.keys() == {*ROTATED}
