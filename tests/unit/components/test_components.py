"""What all components promise alike, and the pure builders below them."""

import pulumi
import pytest

import components
from components import (
    S3,
    Credentials,
    ExistingHdfs,
    ExternalDatabase,
    Hdfs,
    Minio,
    MinioArgs,
    Mysql,
    MysqlArgs,
    Postgres,
    PostgresArgs,
)
from components._kubernetes.uris import database_uri
from components.tracking_server import allowed_hosts, pool_size
from tests.unit.recorder import Recorded, record

POSTGRES: PostgresArgs = {"namespace": "ns", "image": "postgres:18.6", "storage": "1Gi"}
MYSQL: MysqlArgs = {"namespace": "ns", "image": "mysql:9.7.1", "storage": "1Gi"}
MINIO: MinioArgs = {
    "namespace": "ns",
    "image": "minio:1",
    "server_image": "server:1",
    "storage": "1Gi",
    "host": "s3.example",
    "console_host": "console.example",
}


@pytest.mark.parametrize(
    "name",
    [
        "ClientWorkspace",
        "ExternalDatabase",
        "LocalCertificate",
        "Minio",
        "Mysql",
        "Postgres",
        "S3",
        "TrackingServer",
    ],
)
def test_token_and_docstrings_follow_the_class(name: str) -> None:
    component = getattr(components, name)
    source = component.__init__.__code__.co_consts
    assert f"mlflow-k8s:index:{name}" in source
    assert component.__doc__


@pytest.mark.parametrize("store", [Postgres, Mysql])
def test_children_are_named_after_their_component(store: type[Postgres] | type[Mysql]) -> None:
    recorded = record(lambda: (store("one", POSTGRES), store("two", POSTGRES)))
    children = [name.split()[1] for name in recorded.resources if store.__name__ not in name]
    assert children
    assert all(child.startswith(("one-", "two-")) for child in children)
    assert len(recorded.resources) == len(children) + 2


def test_a_misspelt_input_is_refused_with_the_nearest_one() -> None:
    wrong = {**POSTGRES, "storagee": "2Gi"}
    with pytest.raises(pulumi.RunError, match=r"db\.storagee: no such input; did you mean storage"):
        record(lambda: Postgres("db", wrong))  # type: ignore[arg-type]


def test_a_missing_input_is_named() -> None:
    with pytest.raises(pulumi.RunError, match=r"s3\.bucket: required, and not given"):
        record(lambda: S3("s3", {"namespace": "ns"}))  # type: ignore[typeddict-item]


def test_pods_restart_when_a_secret_changes() -> None:
    def annotation(recorded: Recorded) -> str:
        template = recorded.inputs("StatefulSet db-server")["spec"]["template"]
        return template["metadata"]["annotations"]["mlflow-kubernetes/secrets"]

    first = annotation(record(lambda: Postgres("db", POSTGRES)))
    assert len(first) == 16
    assert first == annotation(record(lambda: Postgres("db", POSTGRES)))
    others = [record(lambda: Minio("db", MINIO)), record(lambda: Mysql("db", MYSQL))]
    assert len({first, *map(annotation, others)}) == 3


def test_server_and_stores_agree_on_what_a_backend_publishes() -> None:
    for store in (Postgres, Mysql, ExternalDatabase):
        assert store.__annotations__["credentials"] is Credentials
    for artifacts in (Minio, Hdfs, S3, ExistingHdfs):
        assert artifacts.__annotations__["credentials"] is Credentials


def test_user_parts_of_a_uri_are_quoted() -> None:
    parts = {"user": "a@b", "password": "p:/%", "host": "db.ns.svc", "database": "x y"}
    uri = database_uri("postgresql+psycopg2", port=1, **parts)
    assert uri == "postgresql+psycopg2://a%40b:p%3A%2F%25@db.ns.svc:1/x%20y?connect_timeout=5"
    with_option = database_uri("mysql+pymysql", port=1, charset="utf8mb4", **parts)
    assert with_option.endswith("@db.ns.svc:1/x%20y?charset=utf8mb4&connect_timeout=5")


def test_backend_stores_are_interchangeable() -> None:
    """A setting picks one, so that they must take the same inputs."""
    assert PostgresArgs.__annotations__ == MysqlArgs.__annotations__
    assert PostgresArgs.__required_keys__ == MysqlArgs.__required_keys__


@pytest.mark.parametrize(
    ("replicas", "workers", "auth", "size"),
    [
        *((1, 2, False, 14), (2, 2, False, 9), (3, 4, False, 3), (1, 1, False, 20)),
        *((1, 2, True, 9), (3, 4, True, 2), (5, 8, False, 0), (4, 8, True, 0)),
    ],
)
def test_all_pools_fit_into_the_database(
    replicas: int, workers: int, auth: bool, size: int
) -> None:
    if not size:
        with pytest.raises(pulumi.RunError, match="database connections"):
            pool_size(190, replicas, workers, auth=auth)
        return
    assert pool_size(190, replicas, workers, auth=auth) == size
    assert (3 if auth else 2) * (workers + 1) * (replicas + 1) * (size + 1) <= 190


def test_every_legitimate_name_is_named_once() -> None:
    hosts = allowed_hosts("mlflow", "ns", "ml.example", ["extra:*"])
    for name in ("ml.example", "mlflow", "mlflow.ns", "mlflow.ns.svc", "localhost", "extra:*"):
        assert hosts.count(name) == 1
    assert "mlflow.ns.svc.cluster.local" in hosts
    assert len(",".join(hosts)) < 250
