"""Remove all that `make up` made, and stop the lab: `make down`."""

from commands.support import stack
from commands.support.console import main, say


def command() -> None:
    """Destroy the stack, remove its names from /etc/hosts, and stop the lab."""
    chosen = stack.chosen()
    found = chosen.cluster
    if chosen.exists():
        found.start()
        chosen.destroy()
    else:
        say(f"stack {chosen.name} is not up on {found.describe()}")
    found.unpublish()
    found.stop()


if __name__ == "__main__":
    main(command)
