"""The last good and the last verified backup, from the status of the stack's CronJobs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cronsim import CronSim

from commands.backup import SAVE, VERIFY
from commands.support.jobs import end_of

ARCHIVE = f"{SAVE}-wal"
_PERIODS = 2


def report(objects: Sequence[dict[str, Any]], now: datetime) -> tuple[list[str], list[str]]:
    """Return lines on the backups of a stack, and warnings.

    Args:
        objects: the CronJobs, Jobs and Deployments of the stack's namespace.
        now: the time, in UTC.
    """
    cron_jobs = {one["metadata"]["name"]: one for one in objects if one["kind"] == "CronJob"}
    lines: list[str] = []
    warnings: list[str] = []
    for name, what in ((SAVE, "good backup"), (VERIFY, "verified backup")):
        if name not in cron_jobs:
            continue
        cron_job = cron_jobs[name]
        last = _last_success(cron_job)
        lines.append(f"last {what}: {_shown(last, now)}; {_planned(cron_job)}")
        if failed := _failed(name, objects):
            warnings.append(f"the last Job of {name} failed: `kubectl logs job/{failed}` says why")
        elif last and _late(cron_job, last, now):
            warnings.append(
                f"the last {what} is of {last:%Y-%m-%d %H:%M} UTC, and two were due since then"
            )
    for one in objects:
        if one["kind"] == "Deployment" and one["metadata"]["name"] == ARCHIVE:
            current = bool(one.get("status", {}).get("readyReplicas"))
            lines.append(f"WAL archive: {'up to date' if current else 'behind'}")
            if not current:
                warnings.append(
                    "the WAL archive lacks what was committed last: "
                    f"`kubectl logs deployment/{ARCHIVE} --all-containers` says why"
                )
    return lines, warnings


def _last_success(cron_job: dict[str, Any]) -> datetime | None:
    text = cron_job.get("status", {}).get("lastSuccessfulTime")
    return datetime.fromisoformat(text) if text else None


def _shown(last: datetime | None, now: datetime) -> str:
    if last is None:
        return "none yet"
    passed = now - last
    ago = f"{passed.days} days" if passed >= timedelta(days=2) else f"{passed.seconds // 3600} h"
    if timedelta(days=1) <= passed < timedelta(days=2):
        ago = "1 day"
    return f"{last:%Y-%m-%d %H:%M} UTC, {ago} ago"


def _planned(cron_job: dict[str, Any]) -> str:
    spec = cron_job["spec"]
    return "not on a schedule" if spec.get("suspend") else f"schedule {spec['schedule']}"


def _failed(name: str, objects: Sequence[dict[str, Any]]) -> str:
    """Return the newest Job of a CronJob, if the Job has failed."""
    jobs = [
        one
        for one in objects
        if one["kind"] == "Job"
        and any(
            owner["kind"] == "CronJob" and owner["name"] == name
            for owner in one["metadata"].get("ownerReferences", [])
        )
        and end_of(one)
    ]
    if not jobs:
        return ""
    newest = max(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]))
    return str(newest["metadata"]["name"]) if end_of(newest) == "Failed" else ""


def _late(cron_job: dict[str, Any], last: datetime, now: datetime) -> bool:
    """Return whether two times of the schedule have passed since the last success."""
    spec = cron_job["spec"]
    if spec.get("suspend"):
        return False
    due = CronSim(spec["schedule"], now, reverse=True)
    return last < [next(due) for _ in range(_PERIODS)][-1]
