"""Upload and download an artifact at once, each slowly; print seconds and outcomes as JSON."""

import argparse
import hashlib
import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import requests

BLOCK = 1 << 16


class Pace:
    """Lets bytes pass evenly over a number of seconds."""

    def __init__(self, size: int, seconds: float) -> None:
        self.size, self.seconds = size, seconds
        self.passed, self.began = 0, time.monotonic()

    def let(self, count: int) -> None:
        """Return when this many more bytes are due."""
        self.passed += count
        due = self.began + self.passed / self.size * self.seconds
        time.sleep(max(0.0, due - time.monotonic()))


class SlowFile:
    """A file whose content is read no faster than a pace."""

    def __init__(self, content: bytes, seconds: float) -> None:
        self.content, self.at = content, 0
        self.pace = Pace(len(content), seconds)

    def __len__(self) -> int:
        return len(self.content)

    def read(self, count: int = BLOCK) -> bytes:
        """Return the next bytes when they are due."""
        block = self.content[self.at : self.at + min(count, BLOCK)]
        self.at += len(block)
        self.pace.let(len(block))
        return block


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, required=True, help="bytes of each artifact")
    parser.add_argument("--seconds", type=float, required=True, help="duration of each transfer")
    given = parser.parse_args()
    login = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
    content = random.Random(7).randbytes(given.size)  # noqa: S311 (noise, no secret)
    mlflow.set_experiment("slow transfers")
    with TemporaryDirectory() as scratch, mlflow.start_run() as run:
        (Path(scratch) / "down.bin").write_bytes(content)
        mlflow.log_artifact(f"{scratch}/down.bin")
    folder = run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    base = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts/{folder}"

    def upload() -> int:
        body = SlowFile(content, given.seconds)
        answer = requests.put(f"{base}/up.bin", data=body, auth=login, timeout=60)
        return answer.status_code

    def download() -> str:
        pace, digest = Pace(given.size, given.seconds), hashlib.sha256()
        with requests.get(f"{base}/down.bin", auth=login, timeout=60, stream=True) as answer:
            answer.raise_for_status()
            for block in answer.iter_content(BLOCK):
                digest.update(block)
                pace.let(len(block))
        return digest.hexdigest()

    with ThreadPoolExecutor() as threads:
        uploaded = threads.submit(timed, upload)
        downloaded = threads.submit(timed, download)
    status, upload_seconds = uploaded.result()
    digest, download_seconds = downloaded.result()
    with TemporaryDirectory() as scratch:
        stored = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="up.bin", dst_path=scratch
        )
        uploaded_equal = Path(stored).read_bytes() == content
    print(
        json.dumps(
            {
                "upload": [status, uploaded_equal],
                "upload_seconds": upload_seconds,
                "download": digest == hashlib.sha256(content).hexdigest(),
                "download_seconds": download_seconds,
            }
        )
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    result = work()
    return result, round(time.monotonic() - began, 1)


if __name__ == "__main__":
    main()
