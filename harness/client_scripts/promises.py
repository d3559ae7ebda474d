"""Make one thing of every kind that permissions are given for, or try to read them: prints JSON.

Arguments: `make NAME`, `grant TYPE ID USER PERMISSION`, or `read THINGS`, which is what `make`
printed.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.genai
import mlflow.genai.datasets
import mlflow.sklearn
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe
from requests import HTTPError
from sklearn.linear_model import LinearRegression

client = mlflow.MlflowClient()


def make(name: str) -> dict[str, str]:
    """Make an experiment with a run, a model of each origin, a prompt, a trace and a dataset."""
    experiment = mlflow.set_experiment(name)
    model = LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0])
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        logged = mlflow.sklearn.log_model(
            model, name="model", registered_model_name=name, serialization_format="skops"
        )
        saved = str(Path(folder) / "saved")
        mlflow.sklearn.save_model(model, saved, serialization_format="skops")
        mlflow.log_artifacts(saved, "saved")
    run_id = run.info.run_id
    for source in (
        f"{run.info.artifact_uri}/saved",
        f"runs:/{run_id}/saved",
        f"runs:/{run_id}/model",
    ):
        client.create_model_version(name, source, run_id)
    client.set_registered_model_alias(name, "champion", "1")
    prompt = f"{name}-prompt"
    mlflow.genai.register_prompt(prompt, "Say {{word}}")
    with mlflow.start_span("traced") as span:
        span.set_outputs("traced")
    data = mlflow.genai.datasets.create_dataset(
        name=f"{name}-data", experiment_id=[experiment.experiment_id]
    )
    data.merge_records([{"inputs": {"word": "data"}, "expectations": {"word": "data"}}])
    return {
        "name": name,
        "prompt": prompt,
        "experiment_id": experiment.experiment_id,
        "run_id": run_id,
        "model_id": logged.model_id,
        "trace_id": span.trace_id,
        "dataset_id": data.dataset_id,
    }


def grant(kind: str, name: str, user: str, permission: str) -> dict[str, str]:
    """Give a user a permission."""
    told = {
        "username": user,
        "resource_type": kind,
        "resource_id": name,
        "permission": permission,
    }
    # MLflow's own client for it takes what only a server has (pip install mlflow[auth]).
    path = "/api/3.0/mlflow/users/permissions/grant"
    server = get_default_host_creds(os.environ["MLFLOW_TRACKING_URI"])
    http_request_safe(server, path, "POST", json=told)
    return {}


def read(things: str) -> dict[str, str]:
    """Try to read each of the things; say how that ended."""
    made = json.loads(things)
    name, prompt = made["name"], made["prompt"]
    experiment, run, model = made["experiment_id"], made["run_id"], made["model_id"]
    trace, data = made["trace_id"], made["dataset_id"]

    def load(uri: str) -> bool:
        return list(mlflow.pyfunc.load_model(uri).predict([[3.0]])) != []

    actions: dict[str, Callable[[], object]] = {
        "model": lambda: load(f"models:/{name}/1"),
        "model by alias": lambda: load(f"models:/{name}@champion"),
        "model of a run's files": lambda: load(f"models:/{name}/2"),
        "model of a run": lambda: load(f"models:/{name}/3"),
        "model logged with a run": lambda: load(f"models:/{name}/4"),
        "models": lambda: client.search_model_versions(f"name = '{name}'"),
        "prompt": lambda: mlflow.genai.load_prompt(f"prompts:/{prompt}/1").template,
        "prompts": lambda: mlflow.genai.search_prompts(f"name = '{prompt}'"),
        "logged model": lambda: load(f"models:/{model}"),
        "logged models": lambda: client.search_logged_models([experiment]),
        "run": lambda: client.get_run(run),
        "run's files": lambda: load(f"runs:/{run}/saved"),
        "trace": lambda: mlflow.get_trace(trace, silent=True).data.spans,
        "traces": lambda: mlflow.search_traces(locations=[experiment], return_type="list"),
        "dataset": lambda: len(mlflow.genai.datasets.get_dataset(dataset_id=data).to_df()),
        "datasets": lambda: mlflow.genai.datasets.search_datasets(experiment_ids=[experiment]),
    }
    return {what: _tried(action) for what, action in actions.items()}


def _tried(action: Callable[[], object]) -> str:
    try:
        return "done" if action() else "nothing"
    except MlflowException as error:
        return f"{error.error_code}: {error}"
    except HTTPError as error:
        # So ends what a download is refused.
        return str(error)
    except AttributeError as error:
        return f"nothing: {error}"  # a trace that is not there is None


if __name__ == "__main__":
    commands: dict[str, Callable[..., Any]] = {"make": make, "grant": grant, "read": read}
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
