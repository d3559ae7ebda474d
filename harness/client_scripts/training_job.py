"""A user's training job, whole: train, log, register, read back; prints what it saw as JSON.

It knows the server by MLFLOW_TRACKING_URI alone. Nothing here is tuned for the stack under test.
"""

import argparse
import faulthandler
import hashlib
import json
import os
import random
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

METRIC_KEYS = 10
METRIC_STEPS = 100
BATCH = 250


@contextmanager
def at_most(seconds: float) -> Generator[None]:
    """End the whole process, with every thread's stack, when the block takes longer.

    A client that was handed a URL it cannot reach retries it for minutes in a worker thread, where
    no exception of ours would arrive.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def write_noise(path: Path, size: int, seed: int) -> str:
    """Fill a file with bytes that do not compress, and return their sha256."""
    source = random.Random(seed)  # noqa: S311 (noise, no secret)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while size:
            block = source.randbytes(min(size, 1 << 22))
            digest.update(block)
            file.write(block)
            size -= len(block)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return the sha256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def log_and_read_artifact(run_id: str, size: int, limit: float, folder: Path) -> dict[str, Any]:
    """Upload noise, download it again, and say whether it came back equal, and how fast."""
    source = folder / f"{size}.bin"
    sent = write_noise(source, size, seed=size)
    start = time.monotonic()
    with at_most(limit):
        mlflow.log_artifact(str(source), "noise")
    uploaded = time.monotonic()
    source.unlink()
    with at_most(limit):
        received = mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path=f"noise/{source.name}", dst_path=str(folder / "back")
        )
    downloaded = time.monotonic()
    equal = sha256(Path(received)) == sent
    Path(received).unlink()
    return {
        "size": size,
        "equal": equal,
        "upload_seconds": round(uploaded - start, 2),
        "download_seconds": round(downloaded - uploaded, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", help="experiment and registered model")
    parser.add_argument("--artifact", type=int, action="append", default=[], help="size in bytes")
    parser.add_argument("--limit", type=float, default=60, help="seconds for each transfer")
    arguments = parser.parse_args()
    given = sorted(name for name in os.environ if name.startswith(("MLFLOW_", "AWS_")))
    client = mlflow.MlflowClient()

    with at_most(60):
        mlflow.set_experiment(arguments.name)
    mlflow.sklearn.autolog()
    wine, kinds = load_wine(return_X_y=True, as_frame=True)
    train, test, train_kinds, _ = train_test_split(wine, kinds, random_state=7)
    with mlflow.start_run(run_name=f"{arguments.name}-run") as run, at_most(120):
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, train_kinds)
    run_id = run.info.run_id

    params = {f"setting_{number}": f"value {number} äöü ≥" for number in range(20)}
    metrics = [
        Metric(f"loss_{key}", 1 / (1 + step + key), 1_700_000_000_000 + step, step)
        for step in range(METRIC_STEPS)
        for key in range(METRIC_KEYS)
    ]
    with at_most(60):
        client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
        for first in range(0, len(metrics), BATCH):
            client.log_batch(run_id, metrics=metrics[first : first + BATCH])
        back = [
            (entry.key, entry.value, entry.timestamp, entry.step)
            for key in range(METRIC_KEYS)
            for entry in client.get_metric_history(run_id, f"loss_{key}")
        ]
        data = client.get_run(run_id).data

    with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(run_id=run_id):
        artifacts = [
            log_and_read_artifact(run_id, size, arguments.limit, Path(scratch))
            for size in arguments.artifact
        ]

    with at_most(120):
        (logged,) = mlflow.search_logged_models(
            [run.info.experiment_id], f"source_run_id = '{run_id}'", output_format="list"
        )
        version = mlflow.register_model(logged.model_uri, arguments.name).version
        client.set_registered_model_alias(arguments.name, "champion", version)
        loaded = mlflow.pyfunc.load_model(f"models:/{arguments.name}@champion")

    sent_metrics = sorted((m.key, m.value, m.timestamp, m.step) for m in metrics)
    print(
        json.dumps(
            {
                "given": given,
                "run_id": run_id,
                "experiment_id": run.info.experiment_id,
                "metrics_logged": len(metrics),
                "metrics_equal": sorted(back) == sent_metrics,
                "params_equal": params.items() <= data.params.items(),
                "autologged_params": sorted(data.params.keys() - params.keys()),
                "autologged_metrics": sorted(key for key in data.metrics if "training" in key),
                "artifacts": artifacts,
                "predictions_equal": loaded.predict(test).tolist() == model.predict(test).tolist(),
                "predictions": len(test),
            }
        )
    )


if __name__ == "__main__":
    main()
