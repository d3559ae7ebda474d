"""The shared stack goes back to a backup: what was logged since is gone, and all else is there.

Other modules have tests of a new stack, which take minutes: tests/e2e/own_stack/test_restore*.py.
"""

import json

import pytest

from commands.support.console import CommandError
from harness import clients
from harness.programs import run
from harness.stack import Stack
from tests.e2e.support import restoring
from tests.e2e.support.server_pod import SERVER
from tests.e2e.support.users import add_user

# `make test` restores each backup into a scratch database (test_backup.py).
pytestmark = pytest.mark.long

LOG = """
import mlflow
with mlflow.start_run():
    mlflow.log_metric("answer", 42)
    mlflow.log_text("hello", "greeting.txt")
"""
READ = """
import mlflow
client = mlflow.MlflowClient()
experiments = [one.experiment_id for one in client.search_experiments()]
for run in client.search_runs(experiments, max_results=1000):
    texts = [one for one in client.list_artifacts(run.info.run_id) if one.path == "greeting.txt"]
    print(run.info.run_id, [mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{one.path}")
                            for one in texts])
"""


def ask(machine: clients.Machine, script: str, env: dict[str, str]) -> str:
    """Run a client's script, and return what it prints."""
    command = [str(clients.VENV / "bin" / "python"), "-c", script]
    return run(command, machine.environment(env), seconds=60).stdout


def test_the_stack_goes_back_to_a_backup(stack: Stack, machine: clients.Machine) -> None:
    restorer = add_user(stack, "restorer")
    ask(machine, LOG, restorer)
    stack.kubectl.python(SERVER, restoring.KEEP_SECRETS, "keep")
    restoring.back_up(stack)
    before = ask(machine, READ, restorer)
    assert "['hello']" in before
    ask(machine, LOG, restorer)
    assert ask(machine, READ, restorer) != before
    with pytest.raises(CommandError, match=r"the stack holds data .*OVERWRITE=yes"):
        restoring.bring_back(stack)
    restoring.bring_back(stack, overwrite=True)
    assert ask(machine, READ, restorer) == before
    said = stack.kubectl.python(SERVER, restoring.KEEP_SECRETS, "read")
    assert json.loads(said.splitlines()[-1]) == restoring.SECRETS
