"""Recovery and reports are computed right from what a ledger says."""

import json
from pathlib import Path

import pytest

from commands.support import diagnose
from commands.support.console import CLONE
from harness.ledger import report
from harness.ledger.entries import Entry, Tail, answers, percentile, recovery

NO_ROOM = CLONE / "images" / "mlflow" / "mlflow_kubernetes" / "support" / "no_room.py"


def entry(began: float, took: float = 0.1, kind: str = "metrics", refused: str = "") -> Entry:
    return Entry("client", kind, began, took, refused, "")


def test_recovery_is_the_longest_silence_and_not_the_first_answer() -> None:
    # The first call was under way when the fault came at 10.
    calls = [entry(9.9, 0.2), entry(10.2, refused="503"), entry(13.9), entry(14.0)]
    assert recovery(calls, 10, 15) == pytest.approx(13.9 + 0.1 - 10.1)
    assert recovery([entry(9.0)], 10, 15) == 0, "a call that ended before the fault says nothing"


def test_answers_are_counted_by_what_the_call_was_for() -> None:
    calls = [entry(1, refused="503"), entry(2, kind="artifacts", refused="507"), entry(3)]
    assert answers(calls) == {"metadata 503": 1, "artifacts 507": 1}


@pytest.mark.parametrize(("share", "value"), [(0.5, 10), (0.95, 19), (1.0, 20)])
def test_percentile_is_a_value_that_was_seen(share: float, value: int) -> None:
    assert percentile(range(1, 21), share) == value
    assert percentile([3.0], share) == 3


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    line = json.dumps({"client": "c", "kind": "run", "began": 1.5, "took": 0.5, "wrote": {}})
    file.write_text(f"{line}\n{line[:20]}")
    tail = Tail(file)
    assert [one.ended for one in tail.follow()] == [2.0]
    with file.open("a") as stream:
        stream.write(f"{line[20:]}\n")
    assert len(tail.follow()) == 2


def one_round(lost: int) -> dict[str, object]:
    numbers = {"calls": 10, "written": 50, "lost": lost, "differing": 0, "twice": 1}
    trial = {"fault": "mlflow killed", "metadata": 1.0, "artifacts": 2.0}
    trial |= {"slowest": {"metadata": 1.0, "artifacts": 3.0}, "answers": {"metadata 502": 2}}
    return {
        "pair": "postgres+minio",
        "replicas": 2,
        "date": "2026-11-27 00:00 UTC",
        "versions": "Kubernetes v1",
        "problem": "",
        "trials": [trial],
        "ledger": {"kinds": {"metrics": numbers}, "examples": []},
    }


def test_report_adds_rounds_up_and_takes_its_place_in_a_document() -> None:
    said = report.report([one_round(0), one_round(3)], "make soak")
    assert "2 rounds that ended" in said
    assert "2 faults, 20 acknowledged calls that wrote 100 things" in said
    assert "**3 lost, 0 differing**" in said
    assert (
        "| postgres+minio, 2 | mlflow killed | 2 | 1.0, 1.0 | 2.0, 2.0 | 3 | metadata 502: 4 |"
        in (said)
    )
    document = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    placed = report.placed(document, said)
    assert placed == f"before\n{report.BEGIN}\n{said}{report.END}\nafter\n"
    assert report.placed(placed, said) == placed


def test_status_looks_for_the_line_that_the_server_writes() -> None:
    assert f'BEGIN = "{diagnose.NO_ROOM}"' in NO_ROOM.read_text()
