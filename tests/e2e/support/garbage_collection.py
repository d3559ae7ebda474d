"""The garbage collection on any database and store: what it removes, and what it keeps."""

import json
from typing import Any

from commands import gc
from commands.support.jobs import Jobs
from harness import clients
from harness.stack import Stack
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER

COUNT = POD_SCRIPTS / "count_files.py"


def assert_collects(stack: Stack, machine: clients.Machine) -> None:
    """Delete an experiment, and see its files and its name come free, and nothing else go."""

    def client(what: str) -> Any:
        return machine.run("delete_and_reuse.py", what, client_env=stack.client_env(), seconds=120)

    def assert_files(*expected: tuple[dict[str, str], int]) -> None:
        ids = [made["experiment_id"] for made, _ in expected]
        said = stack.kubectl.python(SERVER, COUNT, *ids)
        assert json.loads(said) == [count for _, count in expected], said

    def assert_said(arguments: list[str], ended: str, *lines: str) -> None:
        found, said = Jobs(stack.environment, stack.namespace, {}).run(
            gc.CRON_JOB, arguments=arguments
        )
        told = [line for line in said.splitlines() if not line.startswith("waiting")]
        assert (found, told) == (ended, [*lines]), (found, said)

    made = client("delete")
    kept, deleted, registered = (made[name] for name in ("kept", "gone", "registered"))
    assert_files((kept, 2), (deleted, 2))
    refused = client("reuse")["refused"]
    assert "already exists" in refused, refused

    removed = "removed with their files: {} runs, {} logged models, {} experiments".format
    # The stack's own age is 30 days.
    assert_said([], "Complete", removed(0, 0, 0))
    assert_said(
        ["--experiment=kept"],
        "Failed",
        "error: experiment 'kept': expected the name or id of one that is deleted and old enough: "
        f"gone ({deleted['experiment_id']}), registered ({registered['experiment_id']})",
    )
    assert_said(["--experiment=gone"], "Complete", removed(1, 1, 1))
    assert_files((kept, 2), (deleted, 0))
    assert client("reuse")["experiment_id"] not in ("", deleted["experiment_id"])
    assert_said(
        ["--older-than=0s"],
        "Complete",
        f"run {registered['run_id']} is kept: version 1 of model 'collected' is made of it",
        "experiment 'registered' is kept, for what is left in it",
        removed(1, 1, 0),
    )
    # The logged model of a deleted run is not deleted, nor is what a model's version is made of.
    assert_files((kept, 1), (registered, 1))
