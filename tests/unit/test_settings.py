"""Every setting: that it is declared once, and that a wrong value costs one clear line."""

import dataclasses
import re

import pulumi
import pytest
import yaml

from settings import PARSERS, Settings
from tests.unit.recorder import ROOT, record, settings

WRONG = [
    # setting, value, what the line must offer
    ("namespace", "default", "a name of its own"),
    ("namespace", "kube-ml", "a name of its own"),
    ("namespace", "Ml_Flow", "a name of its own"),
    ("namespace", "a" * 64, "a name of its own"),
    ("namespace", "", "a name of its own"),
    ("backendStore", "sqlite", "postgres or mysql"),
    ("artifactStore", "gcs", "minio or hdfs"),
    ("artifactAccess", "both", "proxied or direct"),
    ("trackingHost", "http://mlflow.local", "a DNS name"),
    ("trackingHost", "mlflow.local:5000", "a DNS name"),
    ("trackingHost", "192.0.2.7", "a DNS name"),
    ("trackingHost", "mlflow", "a DNS name"),
    ("artifactHost", "-minio.local", "a DNS name"),
    ("artifactConsoleHost", "minio_console.local", "a DNS name"),
    ("allowedHosts", ["*"], 'but not "*"'),
    ("allowedHosts", "mlflow.corp", "a list"),
    ("allowedHosts", ["a,b"], "a list"),
    ("replicas", 0, "a whole number from 1 to 20"),
    ("replicas", -1, "a whole number from 1 to 20"),
    ("replicas", "two", "a whole number from 1 to 20"),
    ("replicas", "1.5", "a whole number from 1 to 20"),
    ("replicas", 10**12, "a whole number from 1 to 20"),
    ("workers", 17, "a whole number from 1 to 16"),
    ("serverMemory", "64Mi", "a size from 256Mi to 64Gi"),
    ("serverMemory", "1G", "a whole number of Mi, Gi or Ti"),
    ("jobExecution", "yes", "true or false"),
    ("databaseStorage", "10", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "99Mi", "a size from 100Mi"),
    ("artifactStorage", "-5Gi", "a whole number of Mi, Gi or Ti"),
    ("artifactStorage", "1.5Gi", "a whole number of Mi, Gi or Ti"),
    ("storageClass", "Fast Disk", "the name of a class"),
    ("hdfsDataNodes", 0, "a whole number from 1 to 100"),
    ("hdfsReplication", "two", "a whole number from 1 to 100"),
    ("hdfsImage", "apache/hadoop", "an image with a tag"),
    ("protectData", "maybe", "true or false"),
    ("serverImage", "mlflow", "an image with a tag"),
    ("serverImage", "mlflow:latest", "an image with a tag"),
    ("postgresImage", "postgres:18 --privileged", "an image with a tag"),
    ("mysqlImage", "mysql", "an image with a tag"),
    ("minioImage", "Minio/Minio:1", "an image with a tag"),
    ("ingressClass", "nginx,traefik", "the name of a class"),
    ("ingressAnnotations", {"a b": "c"}, "annotation names"),
    ("ingressAnnotations", {"a": 1}, "annotation names"),
    ("ingressWaitSeconds", 601, "a whole number from 0 to 600"),
]

CONTRADICTIONS = [
    ({"artifactHost": "mlflow-server.local"}, "artifactHost: 'mlflow-server.local'; accepted"),
    ({"workers": 8}, "serverMemory: '1Gi'; accepted: 1152Mi or more with workers: 8"),
    ({"hdfsReplication": 2}, "hdfsReplication: 2; accepted: hdfsDataNodes, which is 1, or less"),
    ({"jobExecution": True}, "serverMemory: '1Gi'; accepted: 1920Mi or more"),
    (
        {"workers": 16, "replicas": 4, "serverMemory": "8Gi"},
        "replicas: 4 with workers: 16 need 340 database connections at least; accepted",
    ),
]


def load(**changed: object) -> Settings:
    loaded: list[Settings] = []
    record(lambda: loaded.append(Settings.load()), settings(**changed))
    return loaded[0]


def refusal(**changed: object) -> str:
    with pytest.raises(pulumi.RunError) as refused:
        load(**changed)
    return str(refused.value)


@pytest.mark.parametrize(("key", "value", "offer"), WRONG)
def test_a_wrong_value_is_refused_in_one_line(key: str, value: object, offer: str) -> None:
    line = refusal(**{key: value})
    assert "\n" not in line
    assert line.startswith(f"mlflow:{key}: ")
    assert settings(**{key: value})[f"mlflow:{key}"] in line.replace("\\'", "'")
    assert offer in line


@pytest.mark.parametrize(("changed", "offer"), CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(
    changed: dict[str, object], offer: str
) -> None:
    line = refusal(**changed)
    assert "\n" not in line
    assert line.startswith("mlflow:")
    assert offer in line


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    assert refusal(replica=2) == "mlflow:replica: no such setting; did you mean replicas?"
    assert "accepted: namespace, backendStore" in refusal(zzz=1)


def test_every_mistake_is_told_at_once() -> None:
    lines = refusal(replicas=0, workers=0, colour="red").splitlines()
    assert [line.split(":")[1] for line in lines] == ["colour", "replicas", "workers"]


def test_a_refused_setting_leaves_no_resource() -> None:
    with pytest.raises(pulumi.RunError):
        record(Settings.load, settings(replicas=0))


def test_good_values_arrive_as_their_types() -> None:
    loaded = load(replicas="3", jobExecution="false", allowedHosts=["a.b:*"], storageClass="")
    assert (loaded.replicas, loaded.job_execution) == (3, False)
    assert (loaded.allowed_hosts, loaded.storage_class) == (["a.b:*"], None)


def test_each_setting_is_declared_read_and_documented_once() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert list(declared) == list(PARSERS)
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields == {re.sub("[A-Z]", lambda c: f"_{c[0].lower()}", key) for key in PARSERS}
    rows = re.findall(
        r"^\| `(\w+)` \| `(.*?)` \| (.*) \|$", (ROOT / "docs/settings.md").read_text(), re.M
    )
    defaults = {key: settings_text(one["default"]) for key, one in declared.items()}
    assert [(key, default) for key, default, _ in rows] == list(defaults.items())
    assert [text for *_, text in rows] == [one["description"] for one in declared.values()]


def settings_text(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default) or '""'
