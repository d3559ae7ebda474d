"""Several servers of MinIO: where they run, how they find each other, and what one server keeps."""

from typing import Any

import pytest

from components import Minio
from tests.unit.recorder import Recorded, record, run_stack
from tests.variants import plain


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack(artifactReplicas=4)


def spec(stack: Recorded) -> dict[str, Any]:
    found: dict[str, Any] = plain(stack.inputs("StatefulSet minio-server"))["spec"]
    return found


def arguments(stack: Recorded, name: str = "minio") -> list[str]:
    (container,) = stack.inputs(f"StatefulSet {name}-server")["spec"]["template"]["spec"][
        "containers"
    ]
    return list(container["args"])


def test_a_single_server_has_nothing_of_several() -> None:
    assert run_stack().kubernetes() == run_stack(artifactReplicas=1).kubernetes()


def test_each_server_is_told_where_all_volumes_are(stack: Recorded) -> None:
    volumes = "http://minio-{0...3}.minio-pods.mlflow.svc:9000/data"
    assert arguments(stack)[:2] == ["server", volumes]
    assert spec(stack)["serviceName"] == "minio-pods"
    (port,) = (
        one
        for one in spec(stack)["template"]["spec"]["containers"][0]["ports"]
        if one["name"] == "s3"
    )
    assert port["containerPort"] == 9000


def test_a_server_has_a_name_before_it_is_ready(stack: Recorded) -> None:
    """MinIO waits for its own name before it listens."""
    assert stack.inputs("Service minio-pods")["spec"]["publishNotReadyAddresses"] is True
    # Clients are led to servers that are ready.
    assert "publishNotReadyAddresses" not in stack.inputs("Service minio-service")["spec"]


def test_a_server_gets_calls_when_it_has_had_the_time_to_join_the_others(stack: Recorded) -> None:
    (container,) = spec(stack)["template"]["spec"]["containers"]
    assert container["readinessProbe"]["initialDelaySeconds"] > 15
    # The probe that ends a server does not wait, nor does a single server.
    assert "initialDelaySeconds" not in container["startupProbe"]
    alone = spec(run_stack())["template"]["spec"]["containers"][0]
    assert "initialDelaySeconds" not in alone["readinessProbe"]


def test_servers_are_divided_among_the_nodes_and_replaced_one_at_a_time(stack: Recorded) -> None:
    made = spec(stack)
    (rule,) = made["template"]["spec"]["topologySpreadConstraints"]
    assert (rule["topologyKey"], rule["maxSkew"]) == ("kubernetes.io/hostname", 1)
    assert (rule["whenUnsatisfiable"], rule["labelSelector"]) == ("DoNotSchedule", made["selector"])
    assert made["replicas"] == 4
    budget = stack.inputs("PodDisruptionBudget minio-budget")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, made["selector"])


def test_servers_reach_each_other_and_the_dns_servers_alone(stack: Recorded) -> None:
    policy = plain(stack.inputs("NetworkPolicy minio-policy"))["spec"]
    picked = {"podSelector": policy["podSelector"]}
    among, names = policy["egress"]
    assert (among["to"], [port["port"] for port in among["ports"]]) == ([picked], [9000])
    assert {port["port"] for port in names["ports"]} == {53}
    assert picked in [peer for rule in policy["ingress"] for peer in rule["from"]]
    alone = plain(run_stack().inputs("NetworkPolicy minio-policy"))["spec"]
    assert "egress" not in alone


def test_a_program_has_several_servers_under_a_name_and_a_namespace_of_its_own() -> None:
    made = record(lambda: Minio("store", {"namespace": "ml", "replicas": 4}))
    assert arguments(made, "store")[1] == "http://store-{0...3}.store-pods.ml.svc:9000/data"
