"""Print all that a client reads from a server as JSON, with the sha256 of each artifact.

Sorted, and with numbers as Python writes them, so that what two servers hold can be compared: NaN
equals no NaN, and 0.0 equals -0.0. With `--histories 0.01`, the whole history of metrics is read of
about every hundredth run, chosen by its id; of the others, the last value.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import mlflow.genai.datasets
from mlflow.entities import Run, ViewType

client = mlflow.MlflowClient()
THREADS = 8


def all_of(search: Callable[..., Any], **options: Any) -> Iterator[Any]:
    """Return every page of a search, as one."""
    token = None
    while True:
        page = search(page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


def artifacts_at(**of: str) -> dict[str, str]:
    """Return the sha256 of each artifact of a run or a logged model, by its path."""
    with tempfile.TemporaryDirectory() as scratch:
        mlflow.artifacts.download_artifacts(**of, dst_path=scratch)
        folder = Path(scratch)
        return {
            file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }


def read_run(run: Run, history: bool) -> dict[str, Any]:
    run_id = run.info.run_id
    keys = sorted(run.data.metrics) if history else []
    return {
        "info": dict(run.info),
        "metrics": {key: repr(value) for key, value in run.data.metrics.items()},
        "history": {
            key: [
                {**dict(one), "value": repr(one.value)}
                for one in client.get_metric_history(run_id, key)
            ]
            for key in keys
        },
        "params": run.data.params,
        "tags": run.data.tags,
        "datasets": [one.dataset.to_dictionary() for one in run.inputs.dataset_inputs],
        "artifacts": artifacts_at(run_id=run_id),
    }


def read_version(version: Any) -> list[Any]:
    return [
        *(version.source, version.run_id, sorted(version.aliases)),
        *(version.tags, version.description),
    ]


def read_trace(trace: Any) -> dict[str, Any]:
    info = trace.info.to_dict()
    # Servers give them in any order.
    info["assessments"] = sorted(info.get("assessments", []), key=lambda one: one["assessment_id"])
    return {"info": info, "spans": [span.to_dict() for span in trace.data.spans]}


def read_model(model: Any) -> dict[str, Any]:
    return {
        "model": model.to_dictionary(),
        "artifacts": artifacts_at(artifact_uri=model.model_uri),
    }


def read_prompts() -> dict[str, Any]:
    return {
        f"{prompt.name} {version.version}": [
            *(version.template, version.commit_message, version.tags),
            *(sorted(version.aliases), prompt.tags),
        ]
        for prompt in all_of(client.search_prompts)
        for version in client.search_prompt_versions(prompt.name)
    }


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--histories", type=float, default=1)
    share = arguments.parse_args().histories
    experiments = {
        one.experiment_id: one
        for one in all_of(client.search_experiments, view_type=ViewType.ALL, max_results=1000)
    }
    # The server reads no deleted experiment's content.
    active = [key for key, one in experiments.items() if one.lifecycle_stage == "active"]
    search = partial(client.search_runs, active, run_view_type=ViewType.ALL, max_results=1000)
    runs = sorted(all_of(search), key=lambda run: run.info.run_id)
    traces = all_of(partial(client.search_traces, locations=active, max_results=100))
    models = all_of(partial(client.search_logged_models, active))
    with ThreadPoolExecutor(THREADS) as pool:
        # The ids of MLflow are random.
        histories = [int(run.info.run_id[:8], 16) < share * 16**8 for run in runs]
        read = pool.map(read_run, runs, histories)
        everything = {
            "experiments": {key: [one.name, one.tags] for key, one in experiments.items()},
            "runs": {run.info.run_id: one for run, one in zip(runs, read, strict=True)},
            "versions": {
                f"{one.name} {one.version}": read_version(one)
                for one in all_of(client.search_model_versions)
            },
            "models": {
                one.name: [one.description, one.tags, one.aliases]
                for one in all_of(client.search_registered_models)
            },
            "prompts": read_prompts(),
            "traces": {one.info.trace_id: read_trace(one) for one in traces},
            "logged models": {one.model_id: read_model(one) for one in models},
            "datasets": {
                one.name: one.to_df().to_dict("records")
                for one in mlflow.genai.datasets.search_datasets(experiment_ids=active)
            },
        }
    print(json.dumps(everything, default=str))


if __name__ == "__main__":
    main()
