"""Remove for good what was deleted in MLflow, and its files: `make gc`."""

import os

from commands.support import stack
from commands.support.console import CommandError, main, say
from commands.support.jobs import Jobs
from settings.assembled import SETTINGS
from settings.values import age

CRON_JOB = "mlflow-gc"


def command() -> None:
    """Run a garbage collection in the stack, and print its output.

    Reads `OLDER_THAN` and `EXPERIMENTS` from the environment.

    Raises:
        CommandError: if there is no stack, or the collection fails.
    """
    arguments = wanted(os.environ.get("OLDER_THAN", ""), os.environ.get("EXPERIMENTS", ""))
    chosen = stack.running()
    say("looking for what was deleted, usually 20 s ...")
    settings = stack.some_settings(chosen.name, *stack.WHAT_RUNS)
    jobs = Jobs(chosen.cluster.environment, settings.namespace, settings.images)
    ended, said = jobs.run(CRON_JOB, arguments=arguments)
    print(said, end="")
    if ended == "Failed":
        raise CommandError("the collection failed, as told above; what it removed is gone")


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


if __name__ == "__main__":
    main(command)
