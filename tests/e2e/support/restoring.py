"""What a restore has to bring back, and commands by which tests back up and restore a stack."""

import json
from collections.abc import Mapping
from typing import Any

from commands import backup, restore
from commands.support.jobs import Jobs
from harness import clients
from harness.stack import Stack
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER
from tests.e2e.support.users import add_user

KEEP_SECRETS = POD_SCRIPTS / "keep_secrets.py"
SECRETS = [{"api_key": "of the provider"}, ["of the webhook"]]


def jobs_of(stack: Stack) -> Jobs:
    """Return what makes Jobs of the stack's CronJobs."""
    return Jobs(stack.environment, stack.namespace, {})


def fill(stack: Stack, machine: clients.Machine) -> dict[str, str]:
    """Let the stack hold a bit of everything; return the environment of alice's client."""
    alice = add_user(stack, "alice")
    machine.run("first_run.py", client_env=alice, seconds=60)
    env = stack.client_env()
    machine.run("training_job.py", "kept", "--artifact", "1000", client_env=env, seconds=180)
    kept = stack.kubectl.python(SERVER, KEEP_SECRETS, "keep")
    assert json.loads(kept.splitlines()[-1]) == SECRETS
    return alice


def everything(stack: Stack, machine: clients.Machine, *users: Mapping[str, str]) -> list[Any]:
    """Return what the admin and other users read, and the decrypted secrets."""
    logins = [stack.client_env(), *users]
    read = [machine.run("read_everything.py", client_env=env, seconds=180) for env in logins]
    secrets = stack.kubectl.python(SERVER, KEEP_SECRETS, "read")
    return [*read, json.loads(secrets.splitlines()[-1])]


def back_up(stack: Stack) -> None:
    """Make a backup, as `make backup` does."""
    said: list[str] = []
    variables = {"BACKUP_REASON": "command"}
    ended, _ = jobs_of(stack).run(backup.SAVE, variables=variables, tell=said.append)
    assert ended == "Complete", said


def bring_back(stack: Stack, source: str = "latest", *, overwrite: bool = False) -> float:
    """Restore a backup, as `make restore` does; return for how many seconds no server ran."""
    _, seconds = restore.bring_back(jobs_of(stack), source, replicas=1, overwrite=overwrite)
    return seconds


def as_client_of(stack: Stack, user: Mapping[str, str]) -> dict[str, str]:
    """Return a user's environment with the address of another stack."""
    uri = stack.client_env()["MLFLOW_TRACKING_URI"]
    return {**user, "MLFLOW_TRACKING_URI": uri}
