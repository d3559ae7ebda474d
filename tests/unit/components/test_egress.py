"""Ways out of the tracking server, and its proxies: what is asked for.

That packets find the open ways and no others, and what is told of closed ones, tests/e2e shows.
"""

import json
from typing import Any

import pulumi
import pytest

from components import Minio, Postgres, TrackingServer, TrackingServerArgs
from components._egress import Way
from tests.unit.recorder import CERTIFICATE, Recorded, content, record, run_stack

PROXY = "http://ml:chosen-by-a-person@10.8.0.1:3128"
CALLS = {
    "egress": ["internet", "10.8.0.1:3128", "models:8000"],
    "httpsProxy": PROXY,
    "httpProxy": "http://10.8.0.1:3128",
    "noProxy": [".corp.example"],
    "egressCa": CERTIFICATE,
}


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack("httpsProxy", **CALLS)


def variables(stack: Recorded) -> dict[str, str]:
    (server,) = stack.pods()["Deployment mlflow-server"]["containers"]
    return {one["name"]: one["value"] for one in server["env"]}


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("internet", ("internet", 443)),
        ("internet:8443", ("internet", 8443)),
        ("192.0.2.0/24:443", ("192.0.2.0/24", 443)),
        ("192.0.2.0/24", ("192.0.2.0/24", None)),
        ("192.0.2.7:3128", ("192.0.2.7/32", 3128)),
        ("2001:db8::/32:443", ("2001:db8::/32", 443)),
        ("models", ("models", None)),
        ("models:8000", ("models", 8000)),
    ],
)
def test_a_way_is_read(text: str, way: tuple[str, int | None]) -> None:
    assert Way.parse(text) == way


def test_the_server_knows_what_is_open(stack: Recorded) -> None:
    assert json.loads(variables(run_stack())["MLFLOW_KUBERNETES_EGRESS"]) == []
    known = variables(stack)
    assert json.loads(known["MLFLOW_KUBERNETES_EGRESS"]) == ["internet", "10.8.0.1/32", "models"]
    # What is in the cluster seldom speaks TLS.
    assert known["MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES"] == "https,http"
    only_public = variables(run_stack(egress=["internet"]))
    assert "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES" not in only_public
    # MLflow fetches its catalog of models by HTTPS.
    assert "MLFLOW_MODEL_CATALOG_URI" not in only_public
    assert variables(run_stack(egress=["models"]))["MLFLOW_MODEL_CATALOG_URI"] == ""


def test_the_proxy_is_in_a_secret_alone_and_the_server_alone_reads_it(stack: Recorded) -> None:
    assert content(stack, "mlflow-egress") == {
        "HTTPS_PROXY": PROXY,
        "HTTP_PROXY": "http://10.8.0.1:3128",
        "NO_PROXY": "localhost,127.0.0.1,::1,.svc,.svc.cluster.local,.corp.example",
        "MLFLOW_KUBERNETES_EGRESS_CA": "/etc/mlflow-kubernetes/egress-ca.pem",
    }
    assert content(stack, "mlflow-egress-files") == {"egress-ca.pem": CERTIFICATE}
    for name, inputs in stack.kubernetes().items():
        if not name.startswith("Secret"):
            assert "chosen-by" not in json.dumps(inputs), name
    readers = {name for name, pod in stack.pods().items() if "mlflow-egress" in json.dumps(pod)}
    assert readers == {"Deployment mlflow-server"}


@pytest.mark.parametrize(
    ("bucket", "hosts"),
    [
        ({"s3Endpoint": "https://s3.example:9000"}, ["s3.example"]),
        (
            {"s3Region": "eu-central-1"},
            [
                *("s3.eu-central-1.amazonaws.com", ".s3.eu-central-1.amazonaws.com"),
                "sts.eu-central-1.amazonaws.com",
            ],
        ),
    ],
)
def test_a_bucket_is_never_reached_by_the_proxy(bucket: dict[str, Any], hosts: list[str]) -> None:
    store = {"artifactStore": "s3", "s3Bucket": "mlflow", "s3Secret": "their-key", **bucket}
    without = content(run_stack("httpsProxy", **CALLS, **store), "mlflow-egress")["NO_PROXY"]
    assert without.split(",")[-len(hosts) :] == hosts


def test_pods_restart_when_the_proxy_changes() -> None:
    def fingerprint(**changed: object) -> str:
        stack = run_stack("httpsProxy", **{**CALLS, **changed})
        template = stack.inputs("Deployment mlflow-server")["spec"]["template"]
        found: str = template["metadata"]["annotations"]["mlflow-kubernetes/secrets"]
        return found

    assert fingerprint() == fingerprint() != fingerprint(noProxy=[])


def test_jobs_are_run_by_one_pod_at_a_time() -> None:
    def strategy(**changed: object) -> object:
        stack = run_stack(serverMemory="4Gi", **changed)
        return stack.inputs("Deployment mlflow-server")["spec"]["strategy"]

    assert strategy(jobExecution=True) == {"type": "Recreate"}
    assert strategy() == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@pytest.mark.parametrize("several", [{"replicas": 2}, {"replicas": 1, "autoscaled": True}])
def test_a_component_refuses_jobs_in_several_pods(several: Any) -> None:
    args: TrackingServerArgs = {
        "backend_store": Postgres("postgres"),
        "artifact_store": Minio("minio"),
        "namespace": "ns",
        "image": "server:1",
        "host": "mlflow.example",
        "workers": 1,
        "memory": "4Gi",
        "job_execution": True,
        **several,
    }
    with pytest.raises(pulumi.RunError, match=r"^mlflow\.job_execution: expected 1 replica"):
        record(lambda: TrackingServer("mlflow", args))
