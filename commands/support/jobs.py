"""Jobs that a command makes from the stack's CronJobs, so that the program describes their pods."""

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from commands.support.console import CommandError, capture, last_line
from commands.support.diagnose import Watch

_LOOK_SECONDS = 1
_START_SECONDS = 120


class Jobs:
    """The Jobs of one stack."""

    def __init__(
        self, environment: Mapping[str, str], namespace: str, images: Mapping[str, str]
    ) -> None:
        """Make the Jobs of a stack.

        Args:
            environment: the environment in which kubectl reaches the cluster.
            namespace: the stack's namespace.
            images: names of the stack's images, by the settings that name them.
        """
        self._environment, self._namespace, self._images = environment, namespace, images

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Return what kubectl prints.

        Raises:
            CommandError: with kubectl's last line, if kubectl fails.
        """
        command = ["kubectl", f"--namespace={self._namespace}", *arguments]
        answer = capture(command, self._environment, stdin)
        if answer.returncode:
            raise CommandError(last_line(answer))
        return answer.stdout

    def run(
        self,
        cron_job: str,
        *,
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        tell: Callable[[str], None] | None = None,
        keep: bool = False,
    ) -> tuple[str, str]:
        """Make a Job from a CronJob, wait for its end, and remove the Job.

        Args:
            cron_job: name of the CronJob.
            arguments: arguments of the last container; none means those of the CronJob.
            variables: environment variables of every container, which replace those of that name.
            tell: is given each line that a container prints, while the Job runs.
            keep: whether the Job stays, so that its CronJob counts the Job as one of its own.

        Returns:
            How the Job ended, `Complete` or `Failed`, and what its last container printed.

        Raises:
            CommandError: if there is no such CronJob, or the Job does not start.
        """
        watch = Watch(self._environment, self._namespace, self._images)
        found = json.loads(self.kubectl("get", "cronjob", cron_job, "--output=json"))
        job = job_of(found, arguments, variables or {})
        name = job["metadata"]["name"]
        self.kubectl("create", "--filename=-", stdin=json.dumps(job))
        follow = _Follower(self, name, tell) if tell else None
        seen = time.monotonic()
        try:
            while not (ended := end_of(job)):
                time.sleep(_LOOK_SECONDS)
                job = json.loads(self.kubectl("get", "job", name, "--output=json"))
                # A pod whose init containers run is not ready.
                if job["status"].get("ready") or (follow and follow.look()):
                    seen = time.monotonic()
                if time.monotonic() - seen > _START_SECONDS:
                    raise CommandError(f"Job {name} does not start\n\n{watch.explanation()}")
            if follow:
                follow.look()
            return ended, self._last_words(name, ended)
        finally:
            if not keep:
                self.kubectl("delete", "job", name, "--wait=false")

    def _last_words(self, job: str, ended: str) -> str:
        try:
            return self.kubectl("logs", f"job/{job}")
        except CommandError:
            if ended == "Complete":
                raise
            return ""  # an init container failed, and the last container never ran


class _Follower:
    """Passes on the output of the containers of a Job's pod."""

    def __init__(self, jobs: Jobs, job: str, tell: Callable[[str], None]) -> None:
        self._jobs, self._job, self._tell = jobs, job, tell
        self._told: dict[tuple[str, str], int] = {}

    def look(self) -> bool:
        """Pass on the new lines; return whether a container runs."""
        picked = f"--selector=batch.kubernetes.io/job-name={self._job}"
        pods = json.loads(self._jobs.kubectl("get", "pods", picked, "--output=json"))["items"]
        started = False
        for pod in pods:
            status, name = pod["status"], pod["metadata"]["name"]
            for container in [
                *status.get("initContainerStatuses", []),
                *status.get("containerStatuses", []),
            ]:
                if not container["state"].keys() & {"running", "terminated"}:
                    continue
                # A pod between two init containers does not count as started, because the image of
                # the next one may be missing.
                started = started or "running" in container["state"]
                try:
                    said = self._jobs.kubectl("logs", name, f"--container={container['name']}")
                except CommandError:
                    continue  # the runtime has no log yet, or no longer
                # The last part is a line that is not complete.
                lines = said.split("\n")[:-1]
                known = self._told.get((name, container["name"]), 0)
                for line in lines[known:]:
                    self._tell(line)
                self._told[name, container["name"]] = len(lines)
        return started


def job_of(
    cron_job: dict[str, Any], arguments: Sequence[str], variables: Mapping[str, str]
) -> dict[str, Any]:
    """Return a Job of a CronJob.

    Args:
        cron_job: the CronJob.
        arguments: arguments of the last container; none means those of the CronJob.
        variables: variables of every container, which replace those of the same name.
    """
    spec: dict[str, Any] = cron_job["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    (last,) = pod["containers"]
    if arguments:
        last["args"] = [*arguments]
    if variables:
        more = [{"name": name, "value": value} for name, value in variables.items()]
        for container in [*pod.get("initContainers", []), last]:
            kept = [one for one in container.get("env", []) if one["name"] not in variables]
            container["env"] = [*kept, *more]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{cron_job['metadata']['name']}-{secrets.token_hex(3)}",
            "labels": cron_job["metadata"]["labels"],
            # The CronJob notes in its status when a Job of its own succeeded.
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": cron_job["metadata"]["name"],
                    "uid": cron_job["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        # Kubernetes removes the Job where this command is killed.
        "spec": {**spec, "ttlSecondsAfterFinished": 3600},
    }


def end_of(job: dict[str, Any]) -> str:
    """Return how a Job ended, `Complete` or `Failed`; nothing while it runs."""
    conditions: list[dict[str, str]] = job.get("status", {}).get("conditions") or []
    ends = [one["type"] for one in conditions if one["status"] == "True"]
    return next((one for one in ends if one in ("Complete", "Failed")), "")
