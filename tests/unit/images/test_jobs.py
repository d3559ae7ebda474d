"""Shared code of the Jobs of the server's image: settings, waiting, a failure in one line.

Their work needs MLflow, a database and a store: tests/e2e shows it on the real ones.
"""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "mlflow"))

from mlflow_kubernetes.support import environment


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes only when the job sleeps."""
    now = [0.0]
    monkeypatch.setattr(environment.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(environment.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    return now


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SOME_URI", raising=False)
    monkeypatch.setenv("SECRETS_READ", "one and two")
    if value is not None:
        monkeypatch.setenv("SOME_URI", value)
    with pytest.raises(SystemExit) as ended:
        environment.required("SOME_URI")
    assert ended.value.code == 1
    assert failure(capsys) == (
        "error: SOME_URI is not set: there is no such key in Secret one and two"
    )


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "two", "²"])
def test_a_wrong_timeout_is_refused_with_its_value(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIMEOUT_SECONDS", value)
    with pytest.raises(SystemExit):
        environment.timeout()
    assert failure(capsys) == (
        f"error: TIMEOUT_SECONDS is {value!r}: expected a whole number of seconds, 1 or more"
    )


def test_waiting_ends_with_the_problem_and_tells_each_reason_once(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = iter(["refused", "refused", "starting", None])
    environment.wait("the database", lambda: next(reasons))
    assert clock == [3.0]
    assert capsys.readouterr().out.splitlines() == [
        "waiting for the database: refused",
        "waiting for the database: starting",
    ]


def test_waiting_too_long_ends_the_job_with_the_last_reason(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIMEOUT_SECONDS", "5")
    with pytest.raises(SystemExit) as ended:
        environment.wait("the database", lambda: "refused")
    assert ended.value.code == 1
    assert 5 < clock[0] <= 6
    assert failure(capsys) == "error: the database did not answer within 5 s: refused"


def test_a_server_that_never_answers_ends_the_job_in_one_line() -> None:
    script = (
        "import mlflow_kubernetes.support.environment as e, time;"
        "e._BEYOND_SECONDS = 0; e.limit('it'); time.sleep(60)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(environment.__file__).parents[2]), "TIMEOUT_SECONDS": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (1, "error: it did not answer within 1 s\n")


def test_a_message_of_several_lines_becomes_one() -> None:
    assert environment.one_line(ValueError("no\n\troute \n")) == "no route"
