"""Print the artifact that log_one_artifact.py logged to a run, as JSON. Argument: the run's id."""

import json
import sys

import mlflow

print(json.dumps(mlflow.artifacts.load_text(f"runs:/{sys.argv[1]}/one.txt")))
