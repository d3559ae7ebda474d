"""Log many metrics and large artifacts to an experiment of their own: METRICS, FILES, BYTES.

Prints the experiment's id. Each file has BYTES random bytes.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import Metric

_AT_ONCE = 1000
"""The most metrics that the server takes in a request."""


def main() -> None:
    metrics, files, size = map(int, sys.argv[1:])
    experiment = mlflow.set_experiment("much")
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as scratch, mlflow.start_run() as run:
        for first in range(0, metrics, _AT_ONCE):
            steps = range(first, min(first + _AT_ONCE, metrics))
            batch = [Metric(f"m{step % 10}", step / 7, 1_000_000 + step, step) for step in steps]
            client.log_batch(run.info.run_id, metrics=batch)
        for number in range(files):
            file = Path(scratch) / f"{number}.bin"
            file.write_bytes(os.urandom(size))
            mlflow.log_artifact(str(file))
            file.unlink()
    print(json.dumps(experiment.experiment_id))


if __name__ == "__main__":
    main()
