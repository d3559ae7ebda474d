"""Log a file from a pod, read it back, and print the seconds of both, as JSON.

Arguments: the file's size in bytes, and the address of a store; empty means through the server.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

BLOCK = 16 * 1024 * 1024


def main(size: int, root: str) -> None:
    """Move the file, through the server as an artifact of a new run."""
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment(f"transfer {time.time_ns()}")).info
    artifacts = get_artifact_repository(f"{root}/{run.run_id}" if root else run.artifact_uri)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "content")
        with source.open("wb") as content:
            for start in range(0, size, BLOCK):
                content.write(os.urandom(min(BLOCK, size - start)))
        begun = time.monotonic()
        artifacts.log_artifact(str(source))
        stored = time.monotonic()
        source.unlink()
        back = artifacts.download_artifacts(source.name, folder)
        read = time.monotonic()
        if Path(back).stat().st_size != size:
            raise SystemExit("it came back with another size")
    client.delete_run(run.run_id)
    print(json.dumps({"up": stored - begun, "down": read - stored}))


main(int(sys.argv[1]), sys.argv[2])
