"""Print how many files the store has in the folders of experiments, as JSON. Arguments: ids.

Files of traces do not count: a client may upload them later than it says.
"""

import json
import os
import sys

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

store = get_artifact_repository(os.environ["MLFLOW_ARTIFACTS_DESTINATION"])


def count(folder: str) -> int:
    """Count the files in a folder and below."""
    entries = [one for one in store.list_artifacts(folder) if not one.path.endswith("/traces")]
    return sum(count(entry.path) if entry.is_dir else 1 for entry in entries)


print(json.dumps([count(experiment) for experiment in sys.argv[1:]]))
