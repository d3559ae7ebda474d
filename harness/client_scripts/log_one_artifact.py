"""Log one artifact, and nothing else, to a run of its own."""

import json

import mlflow

with mlflow.start_run() as run:
    mlflow.log_text("one more", "one.txt")
print(json.dumps(run.info.run_id))
