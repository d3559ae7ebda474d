"""Print the variables with which `pulumi` and `kubectl` work on the stack: `make env`."""

import os
import shutil

from commands.support import stack
from commands.support.console import CommandError, main, say
from commands.support.shell_exports import exports


def command() -> None:
    """Print the variables that differ from the shell's own.

    Raises:
        CommandError: if there are no programs yet.
    """
    chosen = stack.chosen()
    environment = chosen.environment
    if not shutil.which("pulumi", path=environment["PATH"]):
        raise CommandError("nothing was ever brought up here: `make up` does")
    context = chosen.cluster.context
    if (by_hand := stack.context(chosen.name)) != context:
        say(
            f"`pulumi up` fails in this shell: Pulumi.{chosen.name}.yaml names context {by_hand}, "
            f"and the kubeconfig knows {context} alone. `make up CONTEXT={context}` does its work, "
            f"or `make up STACK=name` with a Pulumi.name.yaml that names context {context}"
        )
    changed = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    print(exports(changed), end="")


if __name__ == "__main__":
    main(command)
