"""Remove the former data that an upgrade of PostgreSQL left: `make drop-former-database`."""

import os
from collections.abc import Callable

from commands.support import stack
from commands.support.console import CommandError, capture, last_line, main, say

POD, CONTAINER = "postgres-0", "postgres"
# Prints the size in MiB and the folder. The new version's data have to be there as well.
_FIND = """
[ -s "$PGDATA/PG_VERSION" ] || exit 0
for folder in /var/lib/postgresql/*/former; do
  [ ! -s "$folder/PG_VERSION" ] || du -sm "$folder"
done
"""


def command() -> None:
    """Show the former data of the stack, and remove them if `CONFIRM=yes`.

    Raises:
        CommandError: if there are no such data, or there is no database.
    """
    chosen = stack.running()
    namespace = stack.some_settings(chosen.name, *stack.WHAT_RUNS).namespace

    def in_pod(*program: str) -> str:
        kubectl = ["kubectl", f"--namespace={namespace}", "exec", POD, f"--container={CONTAINER}"]
        answer = capture([*kubectl, "--", *program], chosen.cluster.environment)
        if answer.returncode:
            raise CommandError(last_line(answer))
        return answer.stdout

    drop(in_pod, confirmed=os.environ.get("CONFIRM") == "yes")


def drop(in_pod: Callable[..., str], *, confirmed: bool) -> None:
    """Show the former data, and remove them where that is confirmed.

    Args:
        in_pod: runs a program in the database's pod, and returns what the program prints.
        confirmed: whether to remove the data.

    Raises:
        CommandError: if there are no such data.
    """
    found = [line.split("\t") for line in in_pod("sh", "-c", _FIND).splitlines()]
    if not found:
        raise CommandError(f"pod {POD} has no data of a former PostgreSQL: nothing to remove")
    for size, folder in found:
        say(f"{folder}: {size} MiB of a former PostgreSQL")
    if confirmed:
        in_pod("rm", "-rf", *(folder for _, folder in found))
        say("removed")
    else:
        say("to remove them for good: make drop-former-database CONFIRM=yes")


if __name__ == "__main__":
    main(command)
