"""Users of the tracking server, made by the command that the README prints."""

import re
import shlex

from harness.programs import run
from harness.stack import Stack


def add_user(stack: Stack, name: str) -> dict[str, str]:
    """Make a user as the README says, and return the environment of a client that is this user."""
    command = [*shlex.split(stack.outputs()["add_user"]), name]
    said = run(command, stack.environment, seconds=60).stdout
    exported = dict(re.findall(r"^export (\w+)='([^']+)'$", said, re.MULTILINE))
    login = {f"MLFLOW_TRACKING_{part}" for part in ("URI", "USERNAME", "PASSWORD")}
    assert exported.keys() == {*login, "MLFLOW_EXPERIMENT_NAME"}
    return stack.client_env(**exported)
