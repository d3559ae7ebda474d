"""Say where the last run of this user went that named no experiment, and what others' runs show.

Prints JSON: the experiment's name and id, its last run's metrics, and how many runs Default shows.
"""

import json

import mlflow

if __name__ == "__main__":
    (run,) = mlflow.search_runs(max_results=1, output_format="list")
    experiment = mlflow.get_experiment(run.info.experiment_id)
    report = {
        "experiment": experiment.name,
        "experiment_id": experiment.experiment_id,
        "metrics": run.data.metrics,
        "in Default": len(mlflow.search_runs(experiment_ids=["0"], output_format="list")),
    }
    print(json.dumps(report))
