"""Print all that a client reads from a server as JSON, with the sha256 of each artifact.

Sorted, so that what two servers hold can be compared.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import mlflow

client = mlflow.MlflowClient()


def artifacts_of(run_id: str) -> dict[str, str]:
    """Return the sha256 of each artifact of a run, by its path."""
    with tempfile.TemporaryDirectory() as scratch:
        mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=scratch)
        folder = Path(scratch)
        return {
            file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }


def main() -> None:
    experiments = {one.experiment_id: one.name for one in client.search_experiments()}
    runs = {
        run.info.run_id: {
            "info": dict(run.info),
            "metrics": run.data.metrics,
            "history": {
                key: [dict(one) for one in client.get_metric_history(run.info.run_id, key)]
                for key in sorted(run.data.metrics)
            },
            "params": run.data.params,
            "tags": run.data.tags,
            "artifacts": artifacts_of(run.info.run_id),
        }
        for run in client.search_runs([*experiments], max_results=1000)
    }
    versions = {
        f"{one.name} {one.version}": [one.source, one.run_id, sorted(one.aliases)]
        for one in client.search_model_versions()
    }
    print(json.dumps({"experiments": experiments, "runs": runs, "versions": versions}, default=str))


if __name__ == "__main__":
    main()
