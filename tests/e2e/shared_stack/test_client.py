"""A client that knows only the tracking URI works: outside, by a forwarded port, and in a pod."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.support.cluster import Cluster
from harness import clients
from harness.stack import Stack
from tests.e2e.support import otlp_exporter
from tests.e2e.support.training_job import LARGE, MEDIUM, SMALL, assert_all_came_back, job


@pytest.fixture(scope="module")
def pod(cluster: Cluster) -> Iterator[clients.Pod]:
    clients.provide_image(cluster)
    with clients.client_pod(cluster.environment) as pod:
        yield pod


def test_through_the_ingress(stack: Stack, machine: clients.Machine) -> None:
    report = job(machine, "outside", stack.client_env(), SMALL, MEDIUM, LARGE)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM, LARGE)
    log = stack.kubectl("logs", "deployment/mlflow", "--tail=-1")
    assert "/mlflow/runs/" in log
    assert "cartesian product" not in log, "SQLAlchemy warns of the stores' own statements"


def test_through_a_forwarded_port(stack: Stack, machine: clients.Machine) -> None:
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        forwarded = stack.client_env(MLFLOW_TRACKING_URI=f"http://localhost:{port}")
        report = job(machine, "forwarded", forwarded, SMALL, MEDIUM)
    assert_all_came_back(report, SMALL, MEDIUM)


def test_in_a_pod_of_another_namespace(stack: Stack, pod: clients.Pod) -> None:
    report = job(pod, "inside", stack.client_env_in_cluster(), SMALL, MEDIUM)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM)


def test_spans_of_another_namespace_arrive_by_opentelemetry(
    stack: Stack, pod: clients.Pod, tmp_path: Path
) -> None:
    clients.make_virtual_environment()
    clients.add_packages(pod, otlp_exporter.EXPORTER, tmp_path)
    otlp_exporter.assert_spans_arrive(pod, stack.client_env_in_cluster())
