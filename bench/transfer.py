"""Runs in a pod: log a file and read it back; tell the seconds of both, as JSON.

Arguments: the file's size in bytes, and where artifacts go; nothing means through the server.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import mlflow

BLOCK = 16 * 1024 * 1024


def main(size: int, root: str) -> None:
    """Do it, in an experiment of its own."""
    client = mlflow.MlflowClient()
    experiment = client.create_experiment(f"transfer {time.time_ns()}", root or None)
    run = client.create_run(experiment).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "content")
        with source.open("wb") as content:
            for start in range(0, size, BLOCK):
                content.write(os.urandom(min(BLOCK, size - start)))
        begun = time.monotonic()
        client.log_artifact(run, str(source))
        stored = time.monotonic()
        source.unlink()
        back = client.download_artifacts(run, source.name, folder)
        read = time.monotonic()
        if Path(back).stat().st_size != size:
            raise SystemExit("it came back with another size")
    client.delete_run(run)
    print(json.dumps({"up": stored - begun, "down": read - stored}))


main(int(sys.argv[1]), sys.argv[2])
