"""Print how many files the store has in the folder of an experiment, whose id is the argument."""

import os
import sys

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

store = get_artifact_repository(f"{os.environ['MLFLOW_ARTIFACTS_DESTINATION']}/{sys.argv[1]}")


def count(folder: str | None = None) -> int:
    """Count the files in a folder and below."""
    entries = store.list_artifacts(folder)
    return sum(count(entry.path) if entry.is_dir else 1 for entry in entries)


print(count())
