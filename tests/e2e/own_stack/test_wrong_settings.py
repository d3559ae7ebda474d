"""A wrong setting is refused before any resource, in one line: key, value, accepted values."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from harness.stack import Stack

# Settings that are wrong together, and the parts of the one line that says so.
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a word for a number": ({"replicas": "two"}, ["mlflow:replicas", "'two'", "1 to 20"]),
    "a fraction": ({"replicas": 1.5}, ["mlflow:replicas", "'1.5'", "whole number"]),
    "too few": ({"workers": 0}, ["mlflow:workers", "'0'", "1 to 16"]),
    "too many": ({"workers": 17}, ["mlflow:workers", "'17'", "1 to 16"]),
    "negative": ({"replicas": -1}, ["mlflow:replicas", "'-1'", "1 to 20"]),
    "a list for a number": ({"replicas": [1]}, ["mlflow:replicas", "[1]", "1 to 20"]),
    "too patient": ({"ingressWaitSeconds": 9999}, ["mlflow:ingressWaitSeconds", "'9999'", "600"]),
    "no boolean": ({"jobExecution": "yes please"}, ["mlflow:jobExecution", "yes", "true or false"]),
    "a number for a boolean": ({"protectData": 1}, ["mlflow:protectData", "'1'", "true or false"]),
    "an unknown database": (
        {"backendStore": "oracle"},
        ["mlflow:backendStore", "oracle", "postgres or mysql"],
    ),
    "an unknown store": ({"artifactStore": "ftp"}, ["mlflow:artifactStore", "ftp", "minio"]),
    "a misspelt key": ({"replica": 2}, ["mlflow:replica:", "replicas"]),
    "a key in other letters": ({"trackinghost": "a.b"}, ["mlflow:trackinghost:", "trackingHost"]),
    "a key like no other": ({"zzz": 1}, ["mlflow:zzz:", "namespace", "trackingHost", "workers"]),
    "a URL for a host": (
        {"trackingHost": "http://mlflow.local"},
        ["mlflow:trackingHost", "'http://mlflow.local'", "DNS name"],
    ),
    "an address for a host": (
        {"artifactHost": "192.168.49.2"},
        ["mlflow:artifactHost", "'192.168.49.2'", "DNS name"],
    ),
    "an underscore in a host": (
        {"trackingHost": "ml_flow.local"},
        ["mlflow:trackingHost", "'ml_flow.local'", "DNS name"],
    ),
    "the same host twice": (
        {"trackingHost": "same.local", "artifactHost": "same.local"},
        ["mlflow:artifactHost", "'same.local'", "trackingHost"],
    ),
    "a workspace under the server's name": (
        {"clientWorkspace": True, "trackingHost": "same.local", "workspaceHost": "same.local"},
        ["mlflow:workspaceHost", "'same.local'", "trackingHost"],
    ),
    "a workspace without room": (
        {"clientWorkspace": True, "workspaceMemory": "128Mi"},
        ["mlflow:workspaceMemory", "'128Mi'", "512Mi"],
    ),
    "a workspace perhaps": (
        {"clientWorkspace": "maybe"},
        ["mlflow:clientWorkspace", "'maybe'", "true or false"],
    ),
    "every host at once": ({"allowedHosts": ["*"]}, ["mlflow:allowedHosts", '["*"]', "list"]),
    "a size without unit": ({"databaseStorage": 8}, ["mlflow:databaseStorage", "'8'", "8Gi"]),
    "a size in words": ({"artifactStorage": "plenty"}, ["mlflow:artifactStorage", "plenty", "8Gi"]),
    "a size too small": ({"databaseStorage": "5Mi"}, ["mlflow:databaseStorage", "5Mi", "100Mi"]),
    "memory that workers outgrow": (
        {"workers": 16, "serverMemory": "512Mi"},
        ["mlflow:serverMemory", "512Mi", "2176Mi", "workers: 16"],
    ),
    "more pods than connections": (
        {"replicas": 20, "workers": 16, "serverMemory": "8Gi"},
        ["mlflow:replicas", "20", "workers: 16", "connections"],
    ),
    "the system's namespace": ({"namespace": "kube-system"}, ["mlflow:namespace", "kube-system"]),
    "capitals in a namespace": ({"namespace": "MLflow"}, ["mlflow:namespace", "'MLflow'", "small"]),
    "an image that moves": (
        {"serverImage": "mlflow-kubernetes/server:latest"},
        ["mlflow:serverImage", "server:latest", "tag other than latest"],
    ),
    "a class that cannot be": (
        {"ingressClass": "my class"},
        ["mlflow:ingressClass", "'my class'", "name of a class"],
    ),
    "an address in clear": (
        {"backendStore": "external", "databaseUri": "mysql+pymysql://a:b@db.example:3306/ml"},
        ["mlflow:databaseUri: [secret]", "pulumi config set --secret"],
    ),
    "an external database that is nowhere": (
        {"backendStore": "external"},
        ["mlflow:databaseUri", "an address, or a Secret's name"],
    ),
    "two databases at once": (
        {"databaseSecret": "db"},
        ["mlflow:databaseSecret", "'db'", "two databases at once"],
    ),
    "two stores at once": ({"s3Bucket": "b-1"}, ["mlflow:s3Bucket", "b-1", "two stores at once"]),
    "a bucket that is a URL": (
        {"artifactStore": "s3", "s3Bucket": "s3://mlflow"},
        ["mlflow:s3Bucket", "'s3://mlflow'", "name alone"],
    ),
    "two keys for one bucket": (
        {"artifactStore": "s3", "s3Bucket": "b-1", "s3Secret": "s", "s3ServiceAccount": "a"},
        ["mlflow:s3ServiceAccount", "'a'", "one key is enough"],
    ),
    "an endpoint with a path": (
        {"artifactStore": "s3", "s3Bucket": "b-1", "s3Endpoint": "https://s3.example/b-1"},
        ["mlflow:s3Endpoint", "https://s3.example/b-1", "without path or bucket"],
    ),
    "a registry with a scheme": (
        {"imageRegistry": "https://registry.example"},
        ["mlflow:imageRegistry", "https://registry.example", "a registry and a folder"],
    ),
    "an annotation that changes paths": (
        {"ingressAnnotations": {"nginx.ingress.kubernetes.io/rewrite-target": "/"}},
        ["mlflow:ingressAnnotations", "rewrite-target: '/'", "changes the path of each request"],
    ),
    "a schedule that is none": ({"gcSchedule": "daily"}, ["mlflow:gcSchedule", "'daily'", "cron"]),
    "annotations that are none": (
        {"ingressAnnotations": {"a": {"b": "c"}}},
        ["mlflow:ingressAnnotations", '{"a":{"b":"c"}}', "annotation names"],
    ),
}


@pytest.fixture(scope="module")
def answers(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[int, str]]]:
    """What `pulumi preview` says to each mistake, with its exit status."""
    stack = Stack.create(tmp_path_factory.mktemp("settings"), environment, "mlflow-e2e-settings")

    def ask(mistake: str) -> tuple[int, str]:
        file = stack.folder / f"{abs(hash(mistake))}.yaml"
        content = yaml.safe_load((stack.folder / "Pulumi.minikube.yaml").read_text())
        for key, value in WRONG[mistake][0].items():
            content["config"][f"mlflow:{key}"] = value
        file.write_text(yaml.safe_dump(content))
        answer = stack.pulumi(
            "preview", "--stack", "minikube", "--config-file", str(file), check=False
        )
        return answer.returncode, answer.stdout + answer.stderr

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(WRONG, pool.map(ask, WRONG), strict=True))
    yield found
    assert stack.resources() == []


@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_setting_is_refused_in_one_line(
    answers: dict[str, tuple[int, str]], mistake: str
) -> None:
    status, said = answers[mistake]
    key, *others = WRONG[mistake][1]
    # Pulumi shows an error when it happens, and again in its summary.
    lines = {line.partition("error: ")[2] for line in said.splitlines() if key in line}
    assert status != 0
    assert len(lines) == 1, said
    assert all(part in line for line in lines for part in others), lines
    assert "Traceback" not in said
    assert "kubernetes:" not in said, "no resource was even planned"
    assert "random:" not in said
