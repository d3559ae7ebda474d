"""Print what a shell needs for an MLflow client to reach the server: `make client-env`."""

from commands import stack
from commands._main import CommandError, main
from commands.exports import exports


def command() -> None:
    """Print the stack's output `client_env`, secrets included."""
    chosen = stack.chosen()
    if not (chosen.cluster.running() and chosen.exists()):
        raise CommandError(f"nothing is up on {chosen.cluster.describe()}: `make up` first")
    variables = chosen.secret_output("client_env")
    print(exports(variables), end="")


if __name__ == "__main__":
    main(command)
