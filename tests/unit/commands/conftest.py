"""Fake programs on PATH, and a home of each test's own: nothing of the machine is touched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ours = ("CONTEXT", "STACK", "KUBECONFIG", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE")
    for name in (*ours, "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script of that name on PATH, where there is else only a POSIX shell's needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat"):
        real = next(
            path
            for path in (Path(part) / name for part in os.environ["PATH"].split(os.pathsep))
            if path.exists()
        )
        (folder / name).symlink_to(real)
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, body: str) -> None:
        file = folder / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    return write
