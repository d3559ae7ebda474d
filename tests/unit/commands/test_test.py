"""How many tests run at once: as many as the cluster has room for."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from commands import test as command


def pod(*cpus: str, phase: str = "Running") -> dict[str, Any]:
    asked: list[dict[str, Any]] = [{"resources": {"requests": {"cpu": cpu}}} for cpu in cpus]
    return {"status": {"phase": phase}, "spec": {"containers": [*asked, {"resources": {}}]}}


@pytest.mark.parametrize(
    ("cpus", "pods", "expected"),
    [
        ("2", [], 3),
        ("64", [], 3),
        # A stack that its user has up, and a Job of it that is done.
        ("2", [pod("250m"), pod("100m"), pod("100m"), pod("1", phase="Succeeded")], 2),
        # The cluster's own pods on minikube.
        ("2000m", [pod("850m")], 1),
        ("1", [pod("900m", "0.5")], 1),
    ],
)
def test_as_many_tests_run_at_once_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, cpus: str, pods: list[dict[str, Any]], expected: int
) -> None:
    nodes = [{"status": {"allocatable": {"cpu": cpus}}}]

    def capture(
        words: Sequence[str], _environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        listed = {"items": nodes if "nodes" in words else pods}
        return subprocess.CompletedProcess(words, 0, json.dumps(listed), "")

    monkeypatch.setattr(command, "capture", capture)
    assert f"--numprocesses={expected}" in command._parallel({})


def test_what_killed_tests_left_is_deleted_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("default", "mlflow", "mlflow-e2e", "mlflow-e2e-tls")
    listed = {"items": [{"metadata": {"name": name}} for name in names]}
    deleted: list[Sequence[str]] = []

    def capture(
        words: Sequence[str], _environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 0, json.dumps(listed), "")

    def stream(words: Sequence[str], _environment: Mapping[str, str]) -> int:
        deleted.append(words[-2:])
        return 0

    monkeypatch.setattr(command, "capture", capture)
    monkeypatch.setattr(command, "stream", stream)
    command._remove_leftovers({})
    assert deleted == [["mlflow-e2e", "mlflow-e2e-tls"]]
    listed["items"] = listed["items"][:2]
    command._remove_leftovers({})
    assert len(deleted) == 1
