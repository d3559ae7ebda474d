"""Remove for good what was deleted in MLflow, and its files: `make gc`."""

import json
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

from commands import stack
from commands._main import CommandError, capture, last_line, main, say
from commands.failures import Watch
from settings import SETTINGS
from settings.values import age

_CRON_JOB = "mlflow-gc"
_LOOK_SECONDS = 1
_START_SECONDS = 120


def command() -> None:
    """Collect in the stack, and print what the collection said.

    Reads `OLDER_THAN` and `EXPERIMENTS` from the environment.

    Raises:
        CommandError: if there is no stack, or the collection fails.
    """
    chosen = stack.chosen()
    arguments = wanted(os.environ.get("OLDER_THAN", ""), os.environ.get("EXPERIMENTS", ""))
    if not (chosen.cluster.running() and chosen.exists()):
        raise CommandError(f"nothing is up on {chosen.cluster.describe()}: `make up` first")
    say("looking for what was deleted, usually 20 s ...")
    settings = stack.some_settings(chosen.name, *stack.WHAT_RUNS)
    environment = chosen.cluster.environment
    ended, said = collect(environment, settings.namespace, settings.images, arguments)
    print(said, end="")
    if ended == "Failed":
        raise CommandError("the collection failed, as told above; what it removed is gone")


def collect(
    environment: Mapping[str, str], namespace: str, images: Mapping[str, str], arguments: list[str]
) -> tuple[str, str]:
    """Make a Job of the stack's CronJob, wait for its end, and remove it.

    Args:
        environment: the environment in which kubectl reaches the cluster.
        namespace: the stack's namespace.
        images: names of the stack's images, by the settings that name them.
        arguments: arguments of the collection; none means those of the CronJob.

    Returns:
        How it ended, `Complete` or `Failed`, and what it said.

    Raises:
        CommandError: if there is no such CronJob, or the Job does not start.
    """

    def kubectl(*arguments: str, stdin: str = "") -> str:
        answer = capture(["kubectl", f"--namespace={namespace}", *arguments], environment, stdin)
        if answer.returncode:
            raise CommandError(last_line(answer))
        return answer.stdout

    watch = Watch(environment, namespace, images)
    job = job_of(json.loads(kubectl("get", "cronjob", _CRON_JOB, "--output=json")), arguments)
    name = job["metadata"]["name"]
    kubectl("create", "--filename=-", stdin=json.dumps(job))
    seen = time.monotonic()
    try:
        while not (ended := end_of(job)):
            time.sleep(_LOOK_SECONDS)
            job = json.loads(kubectl("get", "job", name, "--output=json"))
            if job["status"].get("ready"):
                seen = time.monotonic()
            if time.monotonic() - seen > _START_SECONDS:
                raise CommandError(f"Job {name} does not start\n\n{watch.explanation()}")
        return ended, kubectl("logs", f"job/{name}")
    finally:
        kubectl("delete", "job", name, "--wait=false")


def wanted(older_than: str, experiments: str) -> list[str]:
    """Return the arguments of the collection.

    Args:
        older_than: an age; empty for the stack's own, or for any age where experiments are named.
        experiments: names or ids with commas between them; empty for all.

    Raises:
        CommandError: if the age is none.
    """
    try:
        wanted_age = age(older_than) if older_than else ""
    except ValueError:
        accepted = SETTINGS["gcOlderThan"].kind.accepted
        raise CommandError(f"OLDER_THAN={older_than}: accepted: {accepted}") from None
    named = [f"--experiment={one}" for one in experiments.split(",") if one]
    if named or wanted_age:
        return [f"--older-than={wanted_age or '0s'}", *named]
    return []


def job_of(cron_job: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    """Return a Job of a CronJob, with other arguments unless there are none."""
    spec: dict[str, Any] = cron_job["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    container["args"] = arguments or container["args"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{cron_job['metadata']['name']}-{secrets.token_hex(3)}",
            "labels": cron_job["metadata"]["labels"],
        },
        # It goes by itself where this command is killed.
        "spec": {**spec, "ttlSecondsAfterFinished": 3600},
    }


def end_of(job: dict[str, Any]) -> str:
    """Return how a Job ended, `Complete` or `Failed`; nothing while it runs."""
    conditions: list[dict[str, str]] = job.get("status", {}).get("conditions") or []
    ends = [one["type"] for one in conditions if one["status"] == "True"]
    return next((one for one in ends if one in ("Complete", "Failed")), "")


if __name__ == "__main__":
    main(command)
