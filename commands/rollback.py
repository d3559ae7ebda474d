"""Go back to the server's image before the last upgrade, with its tables: `make rollback`."""

import json
from collections.abc import Mapping
from typing import Any

from commands import up
from commands.support import stack
from commands.support.console import CLONE, CommandError, capture, last_line, main, say
from commands.support.jobs import Jobs

CRON_JOB = "mlflow-rollback"
_RECORD = "mlflow-upgrade"
_KEY = "upgrade.json"
# States of the record (images/mlflow, upgrade/record.py).
_DONE, _GOING_BACK, _ROLLED_BACK = "done", "going back", "rolled back"


def command() -> None:
    """Replace the tables by those of the last upgrade's dump, set the image, and run `make up`.

    Raises:
        CommandError: if there is no upgrade to go back from, or the tables cannot be replaced.
    """
    chosen = stack.running()
    settings = stack.some_settings(chosen.name, *stack.WHAT_RUNS)
    jobs = Jobs(chosen.cluster.environment, settings.namespace, settings.images)
    image = former_image(jobs)
    record = _record(jobs)
    if record["state"] != _ROLLED_BACK:
        say(
            f"going back to {image}: the servers are stopped, today's databases are dumped, and "
            f"backup {record['dump']} is restored"
        )
        ended, _ = jobs.run(CRON_JOB, tell=say)
        if ended == "Failed":
            raise CommandError("the way back failed, as told above; `make rollback` tries again")
    kept = _record(jobs).get("kept")
    config = ["pulumi", "config", "set", "--stack", chosen.name, "mlflow:serverImage", image]
    answer = capture(config, chosen.environment)
    if answer.returncode:
        raise CommandError(f"mlflow:serverImage cannot be set to {image}: {last_line(answer)}")
    file = CLONE / f"Pulumi.{chosen.name}.yaml"
    say(f"{file.name} has mlflow:serverImage {image} now; what was written since is backup {kept}")
    up.command()


def former_image(jobs: Jobs) -> str:
    """Return the server's image before the last upgrade.

    Raises:
        CommandError: if there is no upgrade to go back from.
    """
    record = _record(jobs)
    state = record.get("state")
    if state not in (_DONE, _GOING_BACK, _ROLLED_BACK):
        raise CommandError(
            f"there is no upgrade to go back from (its state is {state or 'none'}): another image "
            "of the same MLflow takes `mlflow:serverImage` and `make up`"
        )
    if not record.get("dump") or not record.get("from_image"):
        raise CommandError(
            "nothing was dumped before the last upgrade: restore a backup made before it, with "
            "`make restore`"
        )
    return str(record["from_image"])


def _record(jobs: Jobs) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(jobs.kubectl("get", "configmap", _RECORD, "--output=json"))
    data: dict[str, str] = found.get("data") or {}
    record: dict[str, Any] = json.loads(data.get(_KEY, "{}"))
    return record


if __name__ == "__main__":
    main(command)
