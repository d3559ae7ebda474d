"""Make an experiment, let somebody else in, or try what one may do with it: prints JSON.

Arguments: `make NAME`, `grant EXPERIMENT_ID USER`, `remove USER`, or
`use NAME EXPERIMENT_ID RUN_ID`.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe
from requests import HTTPError

client = mlflow.MlflowClient()


def make(name: str) -> dict[str, str]:
    """Make an experiment with a run, an artifact and a model."""
    experiment = mlflow.set_experiment(name)
    with mlflow.start_run(run_name=name) as run:
        mlflow.log_text(name, "note.txt")
    client.create_registered_model(name)
    return {"experiment_id": experiment.experiment_id, "run_id": run.info.run_id}


def grant(experiment_id: str, user: str) -> dict[str, str]:
    """Let a user read an experiment, and no more."""
    told = {
        "username": user,
        "resource_type": "experiment",
        "resource_id": experiment_id,
        "permission": "READ",
    }
    # MLflow's own client for it takes what only a server has (pip install mlflow[auth]).
    path = "/api/3.0/mlflow/users/permissions/grant"
    server = get_default_host_creds(os.environ["MLFLOW_TRACKING_URI"])
    http_request_safe(server, path, "POST", json=told)
    return {}


def remove(user: str) -> dict[str, str]:
    """Remove a user, as an admin."""
    server = get_default_host_creds(os.environ["MLFLOW_TRACKING_URI"])
    http_request_safe(server, "/api/2.0/mlflow/users/delete", "DELETE", json={"username": user})
    return {}


def use(name: str, experiment_id: str, run_id: str) -> dict[str, str]:
    """Try to read and to change what is there; say how each ended."""
    actions: dict[str, Callable[[], object]] = {
        "find": lambda: client.search_experiments(filter_string=f"name = '{name}'"),
        "get": lambda: client.get_experiment(experiment_id),
        "search": lambda: client.search_runs([experiment_id]),
        "read": lambda: client.get_run(run_id),
        "list": lambda: client.list_artifacts(run_id),
        "download": lambda: client.download_artifacts(run_id, "note.txt"),
        "model": lambda: client.get_registered_model(name),
        "log": lambda: client.log_metric(run_id, "other", 1) or True,
        "upload": lambda: client.log_text(run_id, "mine", "note.txt") or True,
        "start": lambda: client.create_run(experiment_id),
        "delete": lambda: client.delete_experiment(experiment_id) or True,
    }
    return {what: _tried(action) for what, action in actions.items()}


def _tried(action: Callable[[], object]) -> str:
    try:
        return "done" if action() else "nothing"
    except MlflowException as error:
        return str(error.error_code)
    except HTTPError as error:
        # So ends what an upload or a download is refused.
        return str(error).partition(" ")[0]


if __name__ == "__main__":
    commands: dict[str, Callable[..., Any]] = {
        "make": make,
        "grant": grant,
        "remove": remove,
        "use": use,
    }
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
