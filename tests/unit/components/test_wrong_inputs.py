"""Inputs that are refused in one line, before the component asks for any object."""

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest

from components import (
    S3,
    Backups,
    ClientWorkspace,
    ExistingHdfs,
    ExternalDatabase,
    LocalCertificate,
    Minio,
    Mysql,
    Postgres,
    TrackingServer,
)
from tests.unit.recorder import Recorded, record

Make = Callable[[Mapping[str, Any]], object]
PASSWORD = "chosen-by-a-person"  # noqa: S105 (of nobody)
URI = f"postgresql+psycopg2://ml:{PASSWORD}@db.example:5432/mlflow"


def stores() -> dict[str, Any]:
    return {"backend_store": Postgres("db"), "artifact_store": Minio("files")}


def workspace(args: Mapping[str, Any]) -> object:
    server = TrackingServer("server", {**stores(), "users": ["one"]})  # type: ignore[typeddict-item]
    return ClientWorkspace("one", {"tracking_server": server, **args})  # type: ignore[typeddict-item]


MAKE: dict[str, Make] = {
    "backups": lambda args: Backups("one", {**stores(), **args}),  # type: ignore[typeddict-item]
    "certificate": lambda args: LocalCertificate("one", args),  # type: ignore[arg-type]
    "database": lambda args: ExternalDatabase("one", args),  # type: ignore[arg-type]
    "mysql": lambda args: Mysql("one", args),  # type: ignore[arg-type]
    "postgres": lambda args: Postgres("one", args),  # type: ignore[arg-type]
    "hdfs": lambda args: ExistingHdfs("one", {"uri": "hdfs://nn.example:8020/ml", **args}),  # type: ignore[typeddict-item]
    "minio": lambda args: Minio("one", args),  # type: ignore[arg-type]
    "s3": lambda args: S3("one", {"bucket": "mlflow", **args}),  # type: ignore[typeddict-item]
    "server": lambda args: TrackingServer("one", {**stores(), **args}),  # type: ignore[typeddict-item]
    "workspace": workspace,
}
TO_S3 = {"store": "s3", "bucket": "backups", "secret": "theirs"}


def refused(component: str, args: Mapping[str, Any]) -> str:
    """Return the line with which the component ``one`` refuses its inputs."""
    made = Recorded()

    def program() -> None:
        with pytest.raises(pulumi.RunError) as error:
            MAKE[component](args)
        made.exports["line"] = str(error.value)

    recorded = record(program)
    assert [name for name in recorded.resources if name.split()[1].partition("-")[0] == "one"] == []
    line: str = made.exports["line"]
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("component", "args", "line"),
    [
        ("server", {"egress": {"ways": ["*.example.com"]}}, "egress.ways: '*.example.com'"),
        ("server", {"egress": {"ways": ["internet", "a:0"]}}, "egress.ways: 'a:0'"),
        ("server", {"ingress": {"gateway": "x"}}, "ingress.gateway: 'x'"),
        ("minio", {"ingress": {"gateway": "a/b/c/d"}}, "ingress.gateway: 'a/b/c/d'"),
        ("workspace", {"ingress": {"gateway": "A/b"}}, "ingress.gateway: 'A/b'"),
        ("s3", {"networks": ["foo"]}, "networks: 'foo'"),
        ("s3", {"endpoint": "minio:9000"}, "endpoint: 'minio:9000'"),
        ("s3", {"endpoint": "http://minio:x"}, "endpoint: 'http://minio:x'"),
        ("hdfs", {"networks": ["192.0.2.1/24"]}, "networks: '192.0.2.1/24'"),
        ("database", {"uri": URI, "networks": ["192.0.2.1"]}, "networks: '192.0.2.1'"),
        ("backups", {**TO_S3, "networks": ["foo"]}, "networks: 'foo'"),
        ("backups", {**TO_S3, "endpoint": "minio:9000"}, "endpoint: 'minio:9000'"),
        ("server", {"users": ["ann", "Alice Smith"]}, "users: 'Alice Smith'"),
        ("server", {"users": ["admin"]}, "users: 'admin'"),
        ("server", {"users": ["ann", "ann"]}, "users: 'ann'"),
        ("server", {"users": ["-ann"]}, "users: '-ann'"),
        ("server", {"users": ["a." * 123 + "a"]}, f"users: '{'a.' * 50}...'"),
        ("minio", {"host": "X Y"}, "host: 'X Y'"),
        ("minio", {"console_host": "a.example:80"}, "console_host: 'a.example:80'"),
        ("server", {"host": "https://a.example"}, "host: 'https://a.example'"),
        ("workspace", {"host": "192.0.2.7"}, "host: '192.0.2.7'"),
        ("postgres", {"memory": "4GB"}, "memory: '4GB'"),
        ("mysql", {"memory": "999Mi"}, "memory: '999Mi'"),
        ("postgres", {"connections": 400}, "memory: '1Gi'"),
        ("mysql", {"connections": -1}, "connections: -1"),
        ("postgres", {"cpus": 0}, "cpus: 0"),
        ("minio", {"replicas": 2}, "replicas: 2"),
        ("minio", {"replicas": 17}, "replicas: 17"),
        ("postgres", {"replicas": 2}, "replicas: 2"),
        ("postgres", {"replicas": "3"}, "replicas: 3"),
        ("postgres", {"replicas": 3, "replication": True}, "replication: True"),
        ("postgres", {"replicas": 3, "former_image": "postgres:17"}, "former_image: postgres:17"),
        ("postgres", {"replicas": 3, "patroni_image": "a:17"}, "patroni_image: 'a:17'"),
        ("certificate", {"hosts": ["ml\u00f6.example"]}, "hosts: 'ml\u00f6.example'"),
        ("certificate", {"hosts": ["a.example"], "scope": ["\u00f6"]}, "scope: '\u00f6'"),
    ],
)
def test_a_text_that_cannot_be_read_is_named(
    component: str, args: dict[str, Any], line: str
) -> None:
    assert refused(component, args).startswith(f"one.{line}; accepted: ")


@pytest.mark.parametrize(
    ("component", "args", "key"),
    [
        ("database", {"uri": URI.replace(":5432", ":54x")}, "uri"),
        ("database", {"uri": PASSWORD}, "uri"),
        ("database", {"uri": URI, "auth_uri": URI.replace("@db", "@[db")}, "auth_uri"),
        ("s3", {"endpoint": f"http://ml:{PASSWORD}@s3.example"}, "endpoint"),
    ],
)
def test_a_text_that_may_have_a_password_is_not_shown(
    component: str, args: dict[str, Any], key: str
) -> None:
    line = refused(component, args)
    assert line.startswith(f"one.{key}: [secret]; accepted: ")
    assert PASSWORD not in line


def test_a_network_is_written_as_kubernetes_reads_it() -> None:
    found = record(lambda: S3("one", {"bucket": "ml", "networks": ["192.0.2.0/255.255.255.0"]}))
    rules = found.inputs("NetworkPolicy one-clients-policy")["spec"]["egress"]
    assert rules[0]["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
