"""Backups of a stack: made, verified, damaged, by the Jobs that `make backup` makes."""

import json
import re
import textwrap
from datetime import UTC, datetime, timedelta
from typing import Any

from commands.backup import SAVE, VERIFY
from commands.support import backups
from commands.support.jobs import Jobs, end_of, job_of
from harness import clients
from harness.stack import Stack
from harness.waiting import wait_until

_SAVED = re.compile(
    r"saved backup (?P<name>\w+) in \d+ s: \d+ tables of runs with (?P<rows>[\d,]+) rows; "
    r"\d+ tables of users with (?P<users>[\d,]+) rows; "
    r"(?P<artifacts>[\d,]+) artifacts \(.+\), (?P<copied>[\d,]+) of them copied now and the keys\n"
)
DAMAGE = """
    from pathlib import Path
    from mlflow_kubernetes.backup.target import Target

    found = Target.from_environment()
    name = found.backups()[-1]
    place = f"backup:databases/{name}"
    (dump,) = [one for one in found.run("lsf", place).split() if one in ("runs.dump", "runs.sql")]
    found.run("copy", f"{place}/{dump}", "/tmp")
    content = bytearray(Path("/tmp", dump).read_bytes())
    content[len(content) // 2] ^= 1
    Path("/tmp", dump).write_bytes(content)
    found.run("copy", "--ignore-times", f"/tmp/{dump}", place)
    print(name)
"""
REMOVE_NEWEST = """
    from mlflow_kubernetes.backup.target import Target

    found = Target.from_environment()
    found.remove(found.backups()[-1])
"""
IN_CLEAR = """
    from pathlib import Path

    for file in Path("/backup").rglob("*"):
        if file.is_file() and file.stat().st_size:
            content = file.read_bytes()
            words = [b"PGDMP", b"INSERT INTO", b"experiments", b"MLFLOW_CRYPTO"]
            print("clear" if any(word in content for word in words) else "encrypted")
"""


def jobs_of(stack: Stack) -> Jobs:
    """Return what makes Jobs of the stack's CronJobs."""
    return Jobs(stack.environment, stack.namespace, {})


def saved(stack: Stack) -> dict[str, int]:
    """Make a backup, and return how many rows, artifacts and copied artifacts it says to have."""
    variables = {"BACKUP_REASON": "command"}
    ended, said = jobs_of(stack).run(SAVE, variables=variables, keep=True)
    match = _SAVED.fullmatch(said)
    assert ended == "Complete", said
    assert match, said
    print(said)
    return {
        key: int(match[key].replace(",", "")) for key in ("rows", "users", "artifacts", "copied")
    }


def verified(stack: Stack) -> tuple[str, str]:
    """Verify the newest backup; return how the Job ended, and what its containers said."""
    told: list[str] = []
    ended, _ = jobs_of(stack).run(VERIFY, tell=told.append, keep=True)
    return ended, "\n".join(told)


def in_a_backup_pod(stack: Stack, script: str) -> str:
    """Run a script in a pod that reaches the backups as the CronJob's does; return its output."""
    kubectl = stack.kubectl
    job: Any = job_of(kubectl.json("get", "cronjob", SAVE), [], {})
    pod = job["spec"]["template"]["spec"]
    pod["initContainers"] = [one for one in pod["initContainers"] if one["name"] == "tools"]
    (container,) = pod["containers"]
    container["command"] = ["python", "-c", textwrap.dedent(script)]
    del container["args"]
    name = job["metadata"]["name"]
    kubectl("create", "--filename=-", stdin=json.dumps(job))
    ended = wait_until(
        lambda: end_of(kubectl.json("get", "job", name)) or None, 60, "the pod ends", every=1
    )
    said = kubectl("logs", f"job/{name}")
    kubectl("delete", "job", name, "--wait=false")
    assert ended == "Complete", said
    return said


def assert_backups_are_good(stack: Stack, machine: clients.Machine) -> None:
    """Assert that a backup has all, and the next one copies what is new alone."""

    def log() -> None:
        machine.run("log_one_artifact.py", client_env=stack.client_env(), seconds=60)

    log()
    first = saved(stack)
    assert first["rows"] > 0
    assert first["copied"] == first["artifacts"] > 0
    log()
    second = saved(stack)
    assert second["artifacts"] == first["artifacts"] + 1
    assert second["copied"] == 1
    ended, said = verified(stack)
    assert ended == "Complete", said
    expected = f"is good: {second['rows'] + second['users']:,} rows restored and counted, "
    assert expected in said, said
    assert f"of {second['artifacts']:,} artifacts read" in said, said


def assert_a_damaged_backup_is_found(stack: Stack) -> None:
    """Assert that a verification fails with one line where a dump has changed."""
    in_a_backup_pod(stack, DAMAGE)
    try:
        ended, said = verified(stack)
        assert ended == "Failed", said
        (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert re.fullmatch(
            r"error: the newest backup is not good: backup \w+: runs\.(dump|sql) is not what was "
            r"saved: its size or sha256 differs",
            line,
        )
        _, warnings = reported(stack)
        assert len(warnings) == 1, warnings
        assert "backup-verify" in warnings[0]
    finally:
        in_a_backup_pod(stack, REMOVE_NEWEST)
        # A pod whose last container never started has no log, which a search for secrets reads.
        stack.kubectl("delete", "jobs", f"--selector=app.kubernetes.io/instance={VERIFY}")
    ended, said = verified(stack)
    assert ended == "Complete", said


def assert_nothing_is_in_clear(stack: Stack) -> None:
    """Assert that no file of the target's volume can be read without the passphrase."""
    assert {*in_a_backup_pod(stack, IN_CLEAR).split()} == {"encrypted"}


def reported(stack: Stack) -> tuple[list[str], list[str]]:
    """Return what `make status` says of the backups, and its warnings."""
    kinds = ("cronjobs", "jobs", "deployments")
    return backups.report(stack.kubectl.items(*kinds), datetime.now(UTC))


def assert_the_last_good_one_is_told(stack: Stack) -> None:
    """Assert that `make status` names the times of the last backup and of its verification."""
    lines, warnings = reported(stack)
    assert warnings == []
    soon = datetime.now(UTC) - timedelta(minutes=30)
    for line, what in zip(lines, ("good backup", "verified backup"), strict=True):
        match = re.fullmatch(rf"last {what}: (.+) UTC, 0 h ago; not on a schedule", line)
        assert match, line
        assert datetime.fromisoformat(f"{match[1]}+00:00") > soon
