"""In the server's pod: log names that differ in little; print what is kept, as JSON."""

import json
import time

import mlflow
from mlflow.entities import Metric, Param

NAMES = ["lr", "LR", "Lr", "resume", "résumé", "naïve ≥ 🚀"]

client = mlflow.MlflowClient("http://localhost:5000")
for name in ("case", "Case"):
    client.create_experiment(name)
run = client.create_run("0", run_name="🚀 äöü").info.run_id
now = int(time.time() * 1000)
keys = ["lr", "LR", "loss"]
params = [Param(key, f"{key} 🚀") for key in keys]
metrics = [Metric(key, number, now, 0) for number, key in enumerate(keys)]
client.log_batch(run, metrics=metrics, params=params)
for number, name in enumerate(NAMES):
    client.set_tag(run, f"tag.{number}", name)
found = client.get_run(run)
print(
    json.dumps(
        {
            "name": found.info.run_name,
            "params": found.data.params,
            "metrics": found.data.metrics,
            "tags": [found.data.tags[f"tag.{number}"] for number in range(len(NAMES))] == NAMES,
            "searched": [
                len(client.search_runs(["0"], f"params.{key} = '{value} 🚀'"))
                for key in ("lr", "LR")
                for value in ("lr", "LR")
            ],
        }
    )
)
