"""Bring back what a backup has: `make restore FROM=latest`; without FROM, list the backups.

`make restore AT=2026-11-27T10:15:00Z` brings the databases back to that moment.
"""

import json
import os
import re
import time

from commands.backup import SAVE
from commands.support import stack
from commands.support.console import CommandError, main, say
from commands.support.jobs import Jobs

CRON_JOB = "mlflow-restore"
_DEPLOYMENT = "mlflow"
_SERVERS = "app.kubernetes.io/name=mlflow,app.kubernetes.io/instance=mlflow"
_OURS = "app.kubernetes.io/part-of=mlflow"
_FROM = re.compile(r"latest|\d{8}T\d{6}Z")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_LOOK_SECONDS = 1
# A server that ends finishes its requests within a minute.
_END_SECONDS = 120
_START_SECONDS = 300


def command() -> None:
    """Restore a backup into the stack, or list the backups that the stack can restore.

    Reads from the environment `FROM` (the time of a backup, or `latest`), `AT` (a moment) and
    `OVERWRITE` (`yes`).

    Raises:
        CommandError: if there is no stack, the values are wrong, or the restore is refused or
            fails.
    """
    source = wanted(os.environ.get("FROM", ""))
    at = moment(os.environ.get("AT", ""), source)
    overwrite = agreed(os.environ.get("OVERWRITE", ""))
    chosen = stack.running()
    known = stack.some_settings(chosen.name, *stack.WHAT_RUNS, "replicas")
    jobs = Jobs(chosen.cluster.environment, known.namespace, known.images)
    if not (source or at):
        say("looking for backups, usually 15 s ...")
        print(_run(jobs, CRON_JOB, ["look"], {}, quiet=True), end="")
        return
    stamp, seconds = bring_back(jobs, source, at=at, replicas=known.replicas, overwrite=overwrite)
    what = f"the databases of {at}" if at else f"backup {stamp}"
    print(
        f"restored {what}; no server ran for {seconds:.0f} s. Users log in with the "
        "passwords that they had then; the admin's password is this stack's: make -s client-env"
    )


def bring_back(
    jobs: Jobs, source: str, *, at: str = "", replicas: int, overwrite: bool
) -> tuple[str, float]:
    """Restore a backup into the stack.

    Args:
        jobs: the Jobs of the stack.
        source: name of the backup, or `latest`.
        at: the moment to go back to, instead of a backup.
        replicas: number of servers that the settings ask for.
        overwrite: whether what the stack holds may be replaced; it is backed up first.

    Returns:
        The name of the backup, and for how many seconds no server ran.

    Raises:
        CommandError: if the restore is refused, and nothing has changed; or if it fails.
    """
    say("looking at the backup, usually 15 s ...")
    agreed_to = {"RESTORE_OVERWRITE": "yes"} if overwrite else {}
    if at:
        _refuse_without_an_archive(jobs)
        agreed_to["RESTORE_AT"] = at
    stamp = _run(jobs, CRON_JOB, ["look", at or source], agreed_to, quiet=True).split()[-1]
    _refuse_beside_others(jobs)
    if overwrite:
        say("backing up what the stack holds now ...")
        _run(jobs, SAVE, [], {"BACKUP_REASON": "restore"})
    say(f"restoring backup {stamp}{f' and what came after it, up to {at}' if at else ''} ...")
    variables = {"RESTORE_FROM": stamp, "RESTORE_OVERWRITE": "", **agreed_to}
    return stamp, _restore(jobs, variables, replicas)


def wanted(source: str) -> str:
    """Return which backup to restore; nothing means to list them.

    Raises:
        CommandError: if the value names no backup.
    """
    if source and not _FROM.fullmatch(source):
        accepted = "latest, or a time such as 20261127T013000Z; `make restore` lists the backups"
        raise CommandError(f"FROM={source}: accepted: {accepted}")
    return source


def moment(at: str, source: str) -> str:
    """Return the moment to go back to; nothing where there is none.

    Raises:
        CommandError: if the value is no moment, or a backup is asked for as well.
    """
    if at and not _AT.fullmatch(at):
        raise CommandError(f"AT={at}: accepted: a moment in UTC such as 2026-11-27T10:15:00Z")
    if at and source:
        raise CommandError(f"AT={at}: accepted: nothing with FROM={source}, which names a backup")
    return at


def agreed(overwrite: str) -> bool:
    """Return whether the user lets the restore replace what the stack holds.

    Raises:
        CommandError: if the value is neither `yes` nor empty.
    """
    if overwrite not in ("", "yes"):
        raise CommandError(f"OVERWRITE={overwrite}: accepted: yes, or nothing")
    return overwrite == "yes"


def _restore(jobs: Jobs, variables: dict[str, str], replicas: int) -> float:
    """Restore with all servers stopped; return for how many seconds they were.

    The servers start again also where the restore fails: they then serve what the databases hold.
    """
    deployment = json.loads(jobs.kubectl("get", "deployment", _DEPLOYMENT, "--output=json"))
    # A restore that was killed has left no server; the setting says how many there were.
    replicas = deployment["spec"]["replicas"] or replicas
    began = time.monotonic()
    try:
        say("stopping the servers ...")
        _scale(jobs, 0)
        _wait_for_no_server(jobs)
        _run(jobs, CRON_JOB, [], variables)
    finally:
        say("starting the servers ...")
        _scale(jobs, replicas)
    rollout = ("rollout", "status", f"deployment/{_DEPLOYMENT}", f"--timeout={_START_SECONDS}s")
    jobs.kubectl(*rollout)
    return time.monotonic() - began


def _scale(jobs: Jobs, replicas: int) -> None:
    jobs.kubectl("scale", "deployment", _DEPLOYMENT, f"--replicas={replicas}")


def _wait_for_no_server(jobs: Jobs) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while names := jobs.kubectl("get", "pods", f"--selector={_SERVERS}", "--output=name").split():
        if time.monotonic() > deadline:
            raise CommandError(f"{names[0]} does not end within {_END_SECONDS} s")
        time.sleep(_LOOK_SECONDS)


def _refuse_beside_others(jobs: Jobs) -> None:
    """Refuse to restore while a Job of the stack works on the databases or the store."""
    listed = json.loads(jobs.kubectl("get", "jobs", f"--selector={_OURS}", "--output=json"))
    for job in listed["items"]:
        if job.get("status", {}).get("active"):
            raise CommandError(f"Job {job['metadata']['name']} is running: wait for its end")


def _refuse_without_an_archive(jobs: Jobs) -> None:
    """Refuse to go back to a moment where the stack's restore has no container for that."""
    found = json.loads(jobs.kubectl("get", "cronjob", CRON_JOB, "--output=json"))
    pod = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    if "recover" not in [one["name"] for one in pod["initContainers"]]:
        raise CommandError(
            "AT: the stack archives no WAL: set mlflow:backupPointInTime to true, and `make up`"
        )


def _run(
    jobs: Jobs,
    cron_job: str,
    arguments: list[str],
    variables: dict[str, str],
    *,
    quiet: bool = False,
) -> str:
    """Run a Job; return what its last container printed.

    Raises:
        CommandError: with the Job's own line, if it fails.
    """
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if not quiet and not line.startswith("error: "):
            say(f"  {line}")

    ended, said = jobs.run(cron_job, arguments=arguments, variables=variables, tell=tell)
    if ended == "Failed":
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise CommandError(errors[-1] if errors else (lines or [f"Job {cron_job} failed"])[-1])
    return said


if __name__ == "__main__":
    main(command)
