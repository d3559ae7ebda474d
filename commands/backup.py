"""Make a backup (`make backup`), or verify the newest backup (`make verify-backup`)."""

import sys

from commands.support import stack
from commands.support.console import CommandError, main, say
from commands.support.jobs import Jobs

SAVE = "backup"
VERIFY = "backup-verify"


def command() -> None:
    """Run a Job from the stack's CronJob, and print the output of its containers.

    With the argument `verify`, the Job restores the newest backup into a database of its own.

    Raises:
        CommandError: if there is no stack, or the Job fails.
    """
    verify = sys.argv[1:] == ["verify"]
    chosen = stack.running()
    settings = stack.some_settings(chosen.name, *stack.WHAT_RUNS)
    jobs = Jobs(chosen.cluster.environment, settings.namespace, settings.images)
    if verify:
        say("restoring the newest backup into a database of its own, usually 30 s ...")
        ended, _ = jobs.run(VERIFY, tell=print, keep=True)
        failure = "the verification failed, as told above: make another backup, and verify it"
    else:
        say("saving databases, artifacts and keys, usually 30 s ...")
        ended, _ = jobs.run(SAVE, variables={"BACKUP_REASON": "command"}, tell=print, keep=True)
        failure = "the backup failed, as told above; the backups before it are as they were"
    if ended == "Failed":
        raise CommandError(failure)


if __name__ == "__main__":
    main(command)
