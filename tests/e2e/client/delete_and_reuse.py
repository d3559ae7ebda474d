"""Make an experiment, delete what is in it, or use its name again: prints JSON.

Arguments: `make NAME`, `register RUN_ID`, `delete RUN_ID`, `delete "" EXPERIMENT_ID`, or
`reuse NAME`.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

client = mlflow.MlflowClient()


def make(name: str) -> dict[str, str]:
    """Make an experiment with a run, a logged model and a trace; they have a file each."""
    experiment = mlflow.set_experiment(name).experiment_id
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 1)
        mlflow.log_text(name, "notes/note.txt")
        model = client.create_logged_model(experiment, source_run_id=run.info.run_id)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "weights").write_text(name)
            client.log_model_artifacts(model.model_id, folder)
    with mlflow.start_span("work"):
        pass
    mlflow.flush_trace_async_logging()
    return {"experiment_id": experiment, "run_id": run.info.run_id}


def register(run_id: str) -> dict[str, str]:
    """Make a registered model's version of a run's files."""
    client.create_registered_model("collected")
    client.create_model_version("collected", f"runs:/{run_id}/notes", run_id)
    return {}


def delete(run_id: str, experiment_id: str = "") -> dict[str, str]:
    """Delete a run, or an experiment."""
    if experiment_id:
        client.delete_experiment(experiment_id)
    else:
        client.delete_run(run_id)
    return {}


def reuse(name: str) -> dict[str, str]:
    """Make an experiment of this name."""
    try:
        return {"experiment_id": client.create_experiment(name)}
    except MlflowException as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    commands: dict[str, Callable[..., dict[str, str]]] = {
        "make": make,
        "register": register,
        "delete": delete,
        "reuse": reuse,
    }
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
