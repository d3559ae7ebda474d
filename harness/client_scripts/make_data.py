"""Make data of every kind that MLflow keeps, in an amount: prints JSON.

Arguments: `--runs N`, ten metrics each; `--user NAME` of a user who is granted some of it. The
client may be of any MLflow since 3.10: what its release lacks is named under `skipped`.
"""

import argparse
import hashlib
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import mlflow.genai
import mlflow.genai.datasets
from mlflow.entities import (
    AssessmentSource,
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe

# A trace that cannot be logged must be known before the next one.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
client = mlflow.MlflowClient()
THREADS = 8
METRICS_OF_A_RUN = 10
# Of these runs one has files, a dataset, is deleted, or ends.
FILES_EVERY, DATASET_EVERY, DELETED_EVERY, ENDED_EVERY = 25, 20, 33, 10
TEXT = "naïve ü 漢字 🚀 'quoted' \"twice\" back\\slash %s {braces}"
# What a database may round, clip or refuse.
ODD_VALUES = (0.1, -0.0, 1e-300, 1.7e308, 1 / 3, math.nan, math.inf, -math.inf, 2.0**53, 5e-324)


def post(path: str, body: dict[str, Any]) -> None:
    """Send what MLflow's own client has no function for."""
    server = get_default_host_creds(os.environ["MLFLOW_TRACKING_URI"])
    http_request_safe(server, path, "POST", json=body)


class Maker:
    """Makes one kind of data after the other."""

    def __init__(self, runs: int, user: str) -> None:
        self.number = runs
        self.user = user
        self.experiments: list[str] = []
        self.runs: list[str] = []
        self.traces: list[str] = []
        self.files: dict[str, dict[str, str]] = {}
        """The sha256 of each file, by its run or logged model and its path."""
        self.things: dict[str, str] = {}
        """What permissions are given for, by kind."""

    def make_experiments(self) -> None:
        self.experiments = [
            client.create_experiment(f"data {number}", tags={"note": TEXT, "long": "x" * 4900})
            for number in range(4)
        ]
        client.delete_experiment(client.create_experiment("deleted", tags={"note": TEXT}))
        self.things["experiment"] = self.experiments[0]
        self.things["other experiment"] = self.experiments[1]

    def make_runs(self) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            self.runs = list(pool.map(self._make_run, range(self.number)))

    def _make_run(self, number: int) -> str:
        experiment = self.experiments[number % len(self.experiments)]
        tags = {"number": str(number), "mlflow.note.content": TEXT}
        made = client.create_run(experiment, tags=tags, run_name=f"run {number} ü")
        run: str = made.info.run_id
        now = int(time.time() * 1000)
        metrics = [
            Metric(f"metric {place % 5}", value, now + place, place)
            for place, value in enumerate(_values(number))
        ]
        params = [Param(f"param {place}", f"{TEXT} {number}") for place in range(4)]
        params.append(Param("long", "y" * 5900))
        client.log_batch(run, metrics=metrics, params=params, tags=[RunTag("logged", TEXT)])
        if number % FILES_EVERY == 0:
            self._log_files(run, 1 + number % 3)
        if number % DATASET_EVERY == 0:
            data = Dataset(f"data {number}", f"{number:08x}", "code", json.dumps({"text": TEXT}))
            client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])
        if number % ENDED_EVERY == 0:
            client.set_terminated(run, ("FINISHED", "FAILED", "KILLED")[number % 3])
        if number % DELETED_EVERY == DELETED_EVERY - 1:
            client.delete_run(run)
        return run

    def _log_files(self, run: str, number: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            sizes = [10**place for place in range(2, 2 + 2 * number, 2)]
            self.files[run] = _write(Path(folder), sizes)
            client.log_artifacts(run, folder)

    def make_registered_models(self) -> None:
        for number in range(3):
            name = f"model {number} ü"
            client.create_registered_model(name, tags={"note": TEXT}, description=TEXT)
            versions = [
                client.create_model_version(
                    name, f"runs:/{run}/model", run, tags={"note": TEXT}, description=TEXT
                )
                for run in self.runs[: 2 + number]
            ]
            client.set_registered_model_alias(name, "champion", versions[-1].version)
            client.set_registered_model_alias(name, "first", "1")
        self.things["registered_model"] = "model 0 ü"
        self.things["other registered_model"] = "model 1 ü"

    def make_prompts(self) -> None:
        for number in range(2):
            name = f"prompt-{number}"
            for version in range(1, 3):
                mlflow.genai.register_prompt(
                    name, f"{TEXT} {{{{word}}}} {version}", "why", tags={"note": TEXT}
                )
            mlflow.genai.set_prompt_alias(name, "production", 1)
        self.things["prompt"] = "prompt-0"
        self.things["other prompt"] = "prompt-1"

    def make_traces(self) -> None:
        mlflow.set_experiment(experiment_id=self.experiments[2])
        for number in range(max(10, self.number // 20)):
            with mlflow.start_span(f"answer {number}", "CHAIN") as outer:
                outer.set_inputs({"question": TEXT})
                with mlflow.start_span("model", "LLM") as inner:
                    inner.set_attributes(
                        {
                            "mlflow.chat.tokenUsage": {
                                "input_tokens": number,
                                "output_tokens": 7,
                                "total_tokens": number + 7,
                            },
                            "mlflow.llm.model": "model-ü",
                            "mlflow.llm.provider": "nobody",
                            "mlflow.llm.cost": {
                                "input_cost": 0.25,
                                "output_cost": 0.5,
                                "total_cost": 0.75,
                            },
                        }
                    )
                    inner.set_outputs({"answer": TEXT})
                mlflow.update_current_trace(
                    tags={"note": TEXT}, metadata={"mlflow.trace.session": f"session {number % 3}"}
                )
            self.traces.append(outer.trace_id)
        for trace in self.traces[:10]:
            source = AssessmentSource("HUMAN", "reader")
            mlflow.log_feedback(trace_id=trace, name="good", value=True, source=source)
            mlflow.log_feedback(trace_id=trace, name="score", value=0.1, source=source)
            mlflow.log_expectation(trace_id=trace, name="wanted", value=TEXT, source=source)

    def make_datasets(self) -> None:
        data = mlflow.genai.datasets.create_dataset(
            name="questions", experiment_id=self.experiments[:2], tags={"note": TEXT}
        )
        data.merge_records(
            [
                {"inputs": {"question": f"{TEXT} {number}"}, "expectations": {"answer": TEXT}}
                for number in range(20)
            ]
        )

    def make_logged_models(self) -> None:
        for number, run in enumerate(self.runs[:5]):
            experiment = self.experiments[number % len(self.experiments)]
            model = client.create_logged_model(
                experiment, f"logged-{number}", run, {"note": TEXT}, {"depth": "7"}, "agent"
            ).model_id
            client.log_metric(run, "of a model", 0.5, model_id=model)
            with tempfile.TemporaryDirectory() as folder:
                self.files[model] = _write(Path(folder), [10, 1000])
                client.log_model_artifacts(model, folder)
            client.finalize_logged_model(model, "READY")

    def make_webhooks(self) -> None:
        client.create_webhook(
            "told", "https://93.184.215.14/told", ["model_version.created"], TEXT, "secret"
        )

    def make_gateway_secrets(self) -> None:
        _get_store().create_gateway_secret("key", {"api_key": "sk-1234567890"}, "openai")

    def make_scorers(self) -> None:
        scorer = {"name": "judge", "instructions": TEXT}
        _get_store().register_scorer(self.experiments[0], "judge", json.dumps(scorer))

    def make_users_and_grants(self) -> None:
        made = {"username": "bob", "password": "password of bob"}
        post("/api/2.0/mlflow/users/create", made)
        for user, permission in ((self.user, "EDIT"), ("bob", "READ")):
            for kind in ("experiment", "registered_model", "prompt"):
                _grant(kind, self.things[kind], user, permission)


def _grant(kind: str, name: str, user: str, permission: str) -> None:
    told = {"username": user, "permission": permission}
    if not mlflow.__version__.startswith("3.10."):
        resource = {"resource_type": kind, "resource_id": name}
        post("/api/3.0/mlflow/users/permissions/grant", told | resource)
        return
    # MLflow 3.10 has a call for each kind, and takes a prompt for a registered model.
    of, key = {
        "experiment": ("experiments", "experiment_id"),
        "registered_model": ("registered-models", "name"),
        "prompt": ("registered-models", "name"),
    }[kind]
    post(f"/api/2.0/mlflow/{of}/permissions/create", told | {key: name})


def _values(number: int) -> Iterator[float]:
    values = random.Random(number)  # noqa: S311 (no secret)
    for place in range(METRICS_OF_A_RUN):
        odd = ODD_VALUES[(number + place) % len(ODD_VALUES)]
        yield odd if place % 2 else values.uniform(-1e6, 1e6)


def _write(folder: Path, sizes: list[int]) -> dict[str, str]:
    """Write files of these sizes in bytes; return the sha256 of each, by its path.

    Released MLflows take a name that is not ASCII, and fail where it is downloaded.
    """
    found = {}
    for place, size in enumerate(sizes):
        file = folder / f"deep {place}" / f"{size} bytes.bin"
        file.parent.mkdir()
        content = os.urandom(size)
        file.write_bytes(content)
        found[file.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def _lacks(error: Exception) -> bool:
    """Say whether an error means that a release does not have something yet."""
    if isinstance(error, MlflowException):
        return error.error_code == "ENDPOINT_NOT_FOUND" or " 404 " in error.message
    return isinstance(error, (AttributeError, ImportError))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--runs", type=int, required=True)
    arguments.add_argument("--user", required=True)
    chosen = arguments.parse_args()
    maker = Maker(chosen.runs, chosen.user)
    steps: list[Callable[[], None]] = [
        maker.make_experiments,
        maker.make_runs,
        maker.make_registered_models,
        maker.make_prompts,
        maker.make_traces,
        maker.make_datasets,
        maker.make_logged_models,
        maker.make_webhooks,
        maker.make_gateway_secrets,
        maker.make_scorers,
        maker.make_users_and_grants,
    ]
    skipped = {}
    seconds = {}
    for step in steps:
        name = step.__name__.removeprefix("make_")
        start = time.monotonic()
        try:
            step()
        except (MlflowException, AttributeError, ImportError) as error:
            if not _lacks(error):
                raise
            skipped[name] = str(error)[:200]
        seconds[name] = round(time.monotonic() - start, 1)
    report = {
        "release": mlflow.__version__,
        "runs": len(maker.runs),
        "traces": len(maker.traces),
        "files": maker.files,
        "things": maker.things,
        "skipped": skipped,
        "seconds": seconds,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
