"""A client that gets only the tracking URI does all its work: outside, forwarded, and in a pod."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from commands.cluster import Cluster
from tests.e2e import exporters, places
from tests.e2e.stack import Stack

SMALL, MEDIUM, LARGE = 5, 10_000_000, 600_000_000
# Nobody waits longer for 600 MB on one machine; what hangs on a URL it cannot reach, does.
LIMIT = 90


@pytest.fixture(scope="module")
def pod(cluster: Cluster) -> Iterator[places.Pod]:
    places.provide_image(cluster)
    with places.client_pod(cluster.environment) as pod:
        yield pod


def job(place: places.Place, name: str, client_env: Mapping[str, str], *sizes: int) -> Any:
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


def test_through_the_ingress(stack: Stack, machine: places.Machine) -> None:
    report = job(machine, "outside", stack.client_env(), SMALL, MEDIUM, LARGE)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM, LARGE)


def test_through_a_forwarded_port(stack: Stack, machine: places.Machine) -> None:
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        forwarded = stack.client_env(MLFLOW_TRACKING_URI=f"http://localhost:{port}")
        report = job(machine, "forwarded", forwarded, SMALL, MEDIUM)
    assert_all_came_back(report, SMALL, MEDIUM)


def test_in_a_pod_of_another_namespace(stack: Stack, pod: places.Pod) -> None:
    report = job(pod, "inside", stack.client_env_in_cluster(), SMALL, MEDIUM, LARGE)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM, LARGE)


def test_spans_of_another_namespace_arrive_by_opentelemetry(
    stack: Stack, pod: places.Pod, tmp_path: Path
) -> None:
    places.make_virtual_environment()
    places.add_packages(pod, exporters.EXPORTER, tmp_path)
    exporters.assert_spans_arrive(pod, stack.client_env_in_cluster())
