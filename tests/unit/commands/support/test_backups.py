"""What `make status` says of backups."""

from datetime import UTC, datetime
from typing import Any

import pytest

from commands.support.backups import report

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def cron_job(name: str = "backup", last: str | None = None, *, suspend: bool = False) -> Any:
    status = {"lastSuccessfulTime": last} if last else {}
    spec = {"schedule": "0 2 * * *", "suspend": suspend}
    return {"kind": "CronJob", "metadata": {"name": name}, "spec": spec, "status": status}


def job(name: str, ended: str, created: str) -> dict[str, Any]:
    owners = [{"kind": "CronJob", "name": "backup"}]
    metadata = {"name": name, "creationTimestamp": created, "ownerReferences": owners}
    status = {"conditions": [{"type": ended, "status": "True"}]} if ended else {}
    return {"kind": "Job", "metadata": metadata, "status": status}


@pytest.mark.parametrize(
    ("last", "line"),
    [
        (None, "last good backup: none yet; schedule 0 2 * * *"),
        ("2026-11-27T02:00:09Z", "last good backup: 2026-11-27 02:00 UTC, 9 h ago; sched"),
        ("2026-11-26T02:00:09Z", "last good backup: 2026-11-26 02:00 UTC, 1 day ago; sched"),
        ("2026-11-20T02:00:09Z", "last good backup: 2026-11-20 02:00 UTC, 7 days ago; sched"),
    ],
)
def test_the_last_success_of_the_cron_job_is_told(last: str | None, line: str) -> None:
    lines, _ = report([cron_job(last=last)], NOW)
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_a_verification_is_told_beside_the_backup() -> None:
    found = [cron_job(suspend=True), cron_job("backup-verify", "2026-11-27T05:00:00Z")]
    lines, warnings = report(found, NOW)
    assert lines == [
        "last good backup: none yet; not on a schedule",
        "last verified backup: 2026-11-27 05:00 UTC, 7 h ago; schedule 0 2 * * *",
    ]
    assert warnings == []


def test_a_stack_without_backups_has_no_line() -> None:
    assert report([cron_job("mlflow-gc")], NOW) == ([], [])


def test_two_missed_backups_are_warned_of_and_one_is_not() -> None:
    _, warnings = report([cron_job(last="2026-11-26T02:00:09Z")], NOW)
    assert warnings == []
    _, warnings = report([cron_job(last="2026-11-25T02:00:09Z")], NOW)
    assert warnings == [
        "the last good backup is of 2026-11-25 02:00 UTC, and two were due since then"
    ]
    _, warnings = report([cron_job(last="2026-11-20T02:00:09Z", suspend=True)], NOW)
    assert warnings == []


def test_the_newest_job_is_warned_of_if_it_failed() -> None:
    found = [
        cron_job(last="2026-11-27T02:00:09Z"),
        job("backup-1", "Complete", "2026-11-27T02:00:00Z"),
        job("backup-2", "Failed", "2026-11-27T03:00:00Z"),
        job("backup-3", "", "2026-11-27T04:00:00Z"),
    ]
    _, warnings = report(found, NOW)
    assert warnings == ["the last Job of backup failed: `kubectl logs job/backup-2` says why"]
    _, warnings = report([*found, job("backup-4", "Complete", "2026-11-27T05:00:00Z")], NOW)
    assert warnings == []


def test_an_archive_that_is_behind_is_warned_of() -> None:
    deployment: dict[str, Any] = {"kind": "Deployment", "metadata": {"name": "backup-wal"}}
    lines, warnings = report([{**deployment, "status": {"readyReplicas": 1}}], NOW)
    assert (lines, warnings) == (["WAL archive: up to date"], [])
    lines, warnings = report([{**deployment, "status": {}}], NOW)
    assert lines == ["WAL archive: behind"]
    assert len(warnings) == 1
    assert "`kubectl logs deployment/backup-wal --all-containers` says why" in warnings[0]
    assert report([{"kind": "Deployment", "metadata": {"name": "mlflow"}}], NOW) == ([], [])
