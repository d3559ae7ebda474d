"""A training job through MLflow's client, and the check that all of its data comes back."""

from collections.abc import Mapping
from typing import Any

from harness import clients

SMALL, MEDIUM, LARGE = 5, 10_000_000, 600_000_000
# Nobody waits longer for 600 MB on one machine; what hangs on a URL it cannot reach, does.
LIMIT = 90


def job(place: clients.Place, name: str, client_env: Mapping[str, str], *sizes: int) -> Any:
    artifacts = [part for size in sizes for part in ("--artifact", str(size))]
    return place.run(
        "training_job.py",
        *(name, "--limit", str(LIMIT), *artifacts),
        client_env=client_env,
        seconds=600,
    )


def assert_all_came_back(report: Mapping[str, Any], *sizes: int) -> None:
    login = ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME"]
    assert report["given"] == login
    assert report["metrics_logged"] == 1000
    assert report["metrics_equal"]
    assert report["params_equal"]
    assert "logisticregression__C" in report["autologged_params"]
    assert "training_accuracy_score" in report["autologged_metrics"]
    came_back = [(artifact["size"], artifact["equal"]) for artifact in report["artifacts"]]
    assert came_back == [(size, True) for size in sizes]
    assert report["predictions"] > 0
    assert report["predictions_equal"]
