"""Make three experiments and delete most of them, or use the name of one again: prints JSON.

Arguments: `delete`, or `reuse`.
"""

import json
import sys
import tempfile
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


def delete() -> dict[str, dict[str, str]]:
    """Delete a run of `kept`, and two other experiments, one with a registered model's files."""
    made = {name: make(name) for name in ("kept", "gone", "registered")}
    run = made["registered"]["run_id"]
    client.create_registered_model("collected")
    client.create_model_version("collected", f"runs:/{run}/notes", run)
    client.delete_run(made["kept"]["run_id"])
    for name in ("gone", "registered"):
        client.delete_experiment(made[name]["experiment_id"])
    return made


def reuse() -> dict[str, str]:
    """Make an experiment of the same name as one that was deleted."""
    try:
        return {"experiment_id": client.create_experiment("gone")}
    except MlflowException as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    print(json.dumps({"delete": delete, "reuse": reuse}[sys.argv[1]]()))
