"""The rules for all components, and the builders in _kubernetes/."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import pulumi
import pytest

import components
from artifact_stores import CHOICES
from components import (
    S3,
    Backups,
    ClientWorkspace,
    Credentials,
    ExternalDatabase,
    LocalCertificate,
    Minio,
    MinioArgs,
    Mysql,
    MysqlArgs,
    Postgres,
    PostgresArgs,
    S3Args,
    StackNamespace,
    TrackingServer,
)
from components._kubernetes.uris import database_uri
from components.tracking_server import allowed_hosts, pool_size
from tests.artifact_stores import TRIED
from tests.unit.recorder import CERTIFICATE, Recorded, record

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


COMPONENTS = [
    one
    for one in vars(components).values()
    if isinstance(one, type) and issubclass(one, pulumi.ComponentResource)
]


def test_the_list_has_the_components() -> None:
    assert {Postgres, Minio, TrackingServer, StackNamespace} <= {*COMPONENTS}


@pytest.mark.parametrize("component", COMPONENTS)
def test_token_and_docstrings_follow_the_class(
    component: type[pulumi.ComponentResource],
) -> None:
    assert component.__name__ in component.__init__.__code__.co_consts
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
    for choice in CHOICES.values():
        assert choice.component.__annotations__["credentials"] is Credentials


@pytest.mark.parametrize("whole", [True, False], ids=["one Output", "an Output for each output"])
def test_outputs_of_a_component_stand_for_the_component(whole: bool) -> None:
    """As in a program of another language, where each input by reference is an Output."""

    def outputs(component: object, *names: str) -> Any:
        found = {name: pulumi.Output.from_input(getattr(component, name)) for name in names}
        return pulumi.Output.from_input(found) if whole else found

    def program(by: Callable[..., Any], user: dict[str, Any]) -> Recorded:
        def run() -> None:
            store = Postgres("db", POSTGRES)
            bucket: S3Args = {"namespace": "ns", "bucket": "b", "ca": CERTIFICATE}
            artifacts = S3("s3", {**bucket, "service_account": "mlflow"})
            facts = ("credentials", "artifact_root", "client_env")
            tracking = TrackingServer(
                "mlflow",
                {
                    "namespace": "ns",
                    "backend_store": by(store, "credentials", "connections"),
                    "artifact_store": by(artifacts, *facts),
                    "direct_artifact_access": True,
                    "users": ["workspace"],
                },
            )
            names = ("tracking_uri_in_cluster", "client_labels", "logins")
            ClientWorkspace(
                "workspace",
                {
                    "namespace": "ns",
                    "tracking_server": by(tracking, *names),
                    "artifact_store": by(artifacts, *facts),
                    **user,
                },
            )

        return record(run)

    by_reference = program(lambda component, *_: component, {}).kubernetes()
    assert program(outputs, {"user": "workspace"}).kubernetes() == by_reference


def test_a_workspace_needs_a_login_where_the_server_has_one() -> None:
    def program() -> None:
        stores = {"backend_store": Postgres("db"), "artifact_store": Minio("store")}
        tracking = TrackingServer("mlflow", {**stores, "users": ["ann"]})  # type: ignore[typeddict-item]
        ClientWorkspace("lab", {"tracking_server": tracking})

    says = r"^lab\.user: 'lab'; accepted: one of the tracking server's users: 'ann'$"
    with pytest.raises(pulumi.RunError, match=says):
        record(program)


def outputs_of(component: type[pulumi.ComponentResource]) -> set[str]:
    own = inspect.get_annotations(component)
    return {name for name in own if not name.startswith("_")}


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_registered_outputs_are_the_declared_ones(
    component: type[pulumi.ComponentResource],
) -> None:
    registered: dict[str, set[str]] = {}

    def note(self: pulumi.ComponentResource, outputs: Mapping[str, object]) -> None:
        registered[type(self).__name__] = {*outputs}
        for name, value in outputs.items():
            assert getattr(self, name) is value

    def program() -> None:
        place = StackNamespace("place")
        stores = [Postgres("db"), Minio("store")]
        tracking = TrackingServer(
            "mlflow",
            {"backend_store": stores[0], "artifact_store": stores[1], "users": ["lab"]},  # type: ignore[typeddict-item]
        )
        ClientWorkspace("lab", {"tracking_server": tracking})
        Backups("backup", {"backend_store": stores[0], "artifact_store": stores[1]})  # type: ignore[typeddict-item]
        Mysql("mysql")
        for tried in TRIED.values():
            tried.made({"retention": place.retention})
        ExternalDatabase("external", {"secret": "their-database"})
        LocalCertificate("ingress", {"hosts": ["mlflow.example"]})

    with mock.patch.object(pulumi.ComponentResource, "register_outputs", note):
        record(program)
    assert registered[component.__name__] == outputs_of(component)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_constructor_reads_as_a_recipe(component: type[pulumi.ComponentResource]) -> None:
    assert len(inspect.getsource(component.__init__).splitlines()) < 80


def test_user_parts_of_a_uri_are_quoted() -> None:
    parts = {"user": "a@b", "password": "p:/%", "host": "db.ns.svc", "database": "x y"}
    uri = database_uri("postgresql+psycopg2", port=1, **parts)
    assert uri == "postgresql+psycopg2://a%40b:p%3A%2F%25@db.ns.svc:1/x%20y?connect_timeout=5"
    with_option = database_uri("mysql+pymysql", port=1, charset="utf8mb4", **parts)
    assert with_option.endswith("@db.ns.svc:1/x%20y?charset=utf8mb4&connect_timeout=5")


def test_backend_stores_are_interchangeable() -> None:
    """A setting picks one, so that they must take the same inputs."""
    # MySQL's server itself upgrades the data of the former version, has no base backups, and runs
    # alone.
    names = ("former_image", "replication", "replicas", "patroni_image")
    own = {name: PostgresArgs.__annotations__[name] for name in names}
    assert PostgresArgs.__annotations__ == MysqlArgs.__annotations__ | own
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
