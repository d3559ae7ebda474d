"""What a collection removes for good, and what it leaves: on any database and store."""

from commands import gc
from tests.e2e import places
from tests.e2e.programs import CLONE
from tests.e2e.stack import Stack

COUNT = CLONE / "tests" / "e2e" / "inside" / "count_files.py"


def assert_collects(stack: Stack, machine: places.Machine) -> None:
    """Delete an experiment, and see its files and its name come free, and nothing else go."""

    def client(*arguments: str) -> dict[str, str]:
        found: dict[str, str] = machine.run(
            "delete_and_reuse.py", *arguments, client_env=stack.client_env(), seconds=120
        )
        return found

    def files(experiment: str) -> int:
        return int(stack.kubectl.python("deployment/mlflow", COUNT, experiment))

    def collect(*arguments: str) -> tuple[str, list[str]]:
        settings = {"namespace": stack.namespace}
        ended, said = gc.collect(stack.environment, settings, [*arguments])
        return ended, [line for line in said.splitlines() if not line.startswith("waiting")]

    kept, deleted, registered = (client("make", name) for name in ("kept", "gone", "registered"))
    client("register", registered["run_id"])
    assert [files(one["experiment_id"]) for one in (kept, deleted)] == [2, 2]
    client("delete", kept["run_id"])
    for one in (deleted, registered):
        client("delete", "", one["experiment_id"])
    assert "deleted" in client("reuse", "gone")["refused"]

    nothing = "removed with their files: 0 runs, 0 logged models, 0 experiments"
    assert collect() == ("Complete", [nothing]), "nothing is 30 days old"
    ended, said = collect("--experiment=kept")
    assert ended == "Failed"
    assert said == [
        "error: experiment 'kept': expected the name or id of one that is deleted and old enough: "
        f"gone ({deleted['experiment_id']}), registered ({registered['experiment_id']})"
    ]
    assert collect("--experiment=gone") == (
        "Complete",
        ["removed with their files: 1 runs, 1 logged models, 1 experiments"],
    )
    assert [files(one["experiment_id"]) for one in (kept, deleted)] == [2, 0]
    assert client("reuse", "gone")["experiment_id"] not in ("", deleted["experiment_id"])

    version = "version 1 of model 'collected' is made of it"
    assert collect("--older-than=0s") == (
        "Complete",
        [
            f"run {registered['run_id']} is kept: {version}",
            "experiment 'registered' is kept, for what is left in it",
            "removed with their files: 1 runs, 1 logged models, 0 experiments",
        ],
    )
    # The logged model of a deleted run is not deleted, nor is what a model's version is made of.
    assert [files(one["experiment_id"]) for one in (kept, registered)] == [1, 1]
