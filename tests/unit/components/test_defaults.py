"""The components' defaults: those of Pulumi.yaml, and enough for a program of ten lines."""

from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import pytest
import yaml

from components import (
    Backups,
    ClientWorkspace,
    ExternalDatabase,
    Minio,
    Mysql,
    Postgres,
    StackNamespace,
    TrackingServer,
)
from components.contracts import ArtifactStore, BackendStore
from tests.artifact_stores import TRIED
from tests.unit.recorder import ROOT, Recorded, record, run_stack

INGRESS: Any = {"class_name": "nginx"}
"""Pulumi.yaml is for minikube, whose class has this name; components use the cluster's default."""


def in_namespace(
    database: Callable[[Any], BackendStore], artifacts: Callable[[Any], ArtifactStore]
) -> Recorded:
    """Make a server, and a workspace, of components with no more inputs than they require."""

    def program() -> None:
        place = StackNamespace("mlflow")
        here: Any = {"namespace": place.namespace}
        stores: Any = {"backend_store": database(here), "artifact_store": artifacts(here)}
        backups = Backups("backup", {**here, **stores})
        tracking = TrackingServer(
            "mlflow",
            {
                **here,
                **stores,
                "backups": backups,
                "users": ["workspace"],
                "ingress": INGRESS,
            },
        )
        ClientWorkspace("workspace", {**here, "tracking_server": tracking, "ingress": INGRESS})

    return record(program)


URI = "postgresql+psycopg2://ml:chosen-by-a-person@db.example:5432/mlflow"
DATABASES: dict[str, tuple[Callable[[Any], BackendStore], dict[str, Any]]] = {
    "postgres": (lambda here: Postgres("postgres", here), {}),
    "mysql": (lambda here: Mysql("mysql", here), {"backendStore": "mysql"}),
    "external": (
        lambda here: ExternalDatabase("external", {**here, "uri": URI, "auth_uri": URI}),
        {"backendStore": "external", "databaseUri": URI, "authDatabaseUri": URI},
    ),
}
# Each database, and each store, at least once.
PAIRS = list(islice(zip(cycle(DATABASES), cycle(TRIED)), max(len(DATABASES), len(TRIED))))


@pytest.mark.parametrize(("database", "store"), PAIRS)
def test_defaults_are_those_of_pulumi_yaml(database: str, store: str) -> None:
    made, chosen = DATABASES[database]
    settings = {**chosen, "artifactStore": store, **TRIED[store].needed}
    found = in_namespace(made, TRIED[store].made).kubernetes()
    encrypted = [key for key in ("databaseUri", "authDatabaseUri") if key in settings]
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    defaults = {key: one["default"] for key, one in declared.items()}
    changed = {**defaults, "clientWorkspace": True, **settings}
    expected = run_stack(*encrypted, **changed).kubernetes()
    assert found == expected


def test_ten_lines_are_enough() -> None:
    def program() -> None:
        database = Postgres("db")
        artifacts = Minio("store")
        TrackingServer("mlflow", {"backend_store": database, "artifact_store": artifacts})

    found = record(program).kubernetes()
    assert {"StatefulSet db-server", "StatefulSet store-server"} <= found.keys()
    assert {one["metadata"]["namespace"] for one in found.values()} == {"default"}


def test_two_namespaces_stand_in_one_program() -> None:
    def program() -> None:
        for name in ("red", "blue"):
            place = StackNamespace(name)
            database = Postgres(f"{name}-db", {"namespace": place.namespace})
            artifacts = Minio(f"{name}-store", {"namespace": place.namespace})
            TrackingServer(
                f"{name}-mlflow",
                {
                    "namespace": place.namespace,
                    "backend_store": database,
                    "artifact_store": artifacts,
                },
            )

    found = record(program).kubernetes()
    assert len(found) == 2 * len([name for name in found if " red-" in name])
    for name, inputs in found.items():
        expected = "red" if " red-" in name else "blue"
        where = inputs["metadata"]["name" if "Namespace " in name else "namespace"]
        assert where == expected, name
