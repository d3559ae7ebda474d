"""Log files from a pod, read them back, and print the seconds of both, as JSON.

Arguments: each file's size in bytes, the number of files, and the address of a store; empty means
through the server.
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


def main(size: int, count: int, root: str) -> None:
    """Move the files, through the server as artifacts of a new run."""
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment(f"transfer {time.time_ns()}")).info
    artifacts = get_artifact_repository(f"{root}/{run.run_id}" if root else run.artifact_uri)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "content")
        source.mkdir()
        for number in range(count):
            with (source / f"{number}").open("wb") as content:
                for start in range(0, size, BLOCK):
                    content.write(os.urandom(min(BLOCK, size - start)))
        begun = time.monotonic()
        artifacts.log_artifacts(str(source))
        stored = time.monotonic()
        for file in source.iterdir():
            file.unlink()
        back = Path(artifacts.download_artifacts("", folder))
        read = time.monotonic()
        if [(back / f"{number}").stat().st_size for number in range(count)] != [size] * count:
            raise SystemExit("something came back with another size")
    client.delete_run(run.run_id)
    print(json.dumps({"up": stored - begun, "down": read - stored}))


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
