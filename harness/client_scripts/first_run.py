"""The smallest use of the whole system: log a run with a number and a file, and read both back."""

import json
import tempfile
from pathlib import Path

import mlflow


def main() -> None:
    mlflow.set_experiment("first")
    with mlflow.start_run() as run:
        mlflow.log_metric("answer", 42)
        mlflow.log_text("hello", "greeting.txt")
    answer = mlflow.get_run(run.info.run_id).data.metrics["answer"]
    with tempfile.TemporaryDirectory() as scratch:
        file = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="greeting.txt", dst_path=scratch
        )
        greeting = Path(file).read_text()
    print(json.dumps({"answer": answer, "greeting": greeting}))


if __name__ == "__main__":
    main()
