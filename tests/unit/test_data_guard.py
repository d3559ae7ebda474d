"""Settings that are refused because the stack would lose data, with the state after an `up`.

That the engine tells this state, in `preview` and `up`, tests/e2e shows.
"""

import copy
import functools
from typing import Any

import pulumi
import pytest

from artifact_stores import CHOICES
from data_guard import SETTINGS_OF
from settings.load import as_text
from tests.artifact_stores import TRIED
from tests.unit.recorder import Recorded, run_stack, settings
from tests.variants import AXES, VARIANTS, plain

GUIDE = "; see docs/moving-data.md"
MYSQL = {"backendStore": "mysql"}
BY_DIGEST = f"postgres@sha256:{64 * 'd'}"
WRONG = [
    # what was there, what is changed, what the line says
    ({}, {"databaseStorage": "1023Mi"}, "databaseStorage: '1023Mi'; accepted: 1Gi or more"),
    ({}, {"backupStorage": "7Gi"}, "backupStorage: '7Gi'; accepted: 8Gi or more: a volume"),
    ({}, {"artifactStorage": "4Gi"}, "artifactStorage: '4Gi'; accepted: 5Gi or more: a volume"),
    ({}, {"backendStore": "mysql"}, "backendStore: 'mysql'; accepted: 'postgres', which holds"),
    (
        {},
        {"backendStore": "external", "databaseSecret": "db"},
        "backendStore: 'external'; accepted: 'postgres', which holds",
    ),
    ({}, {"artifactStore": "hdfs"}, "artifactStore: 'hdfs'; accepted: 'minio', which holds"),
    (
        {},
        {"artifactStore": "s3", "s3Bucket": "bucket"},
        "artifactStore: 's3'; accepted: 'minio', which holds",
    ),
    (
        {"backendStore": "external", "databaseSecret": "db"},
        {"backendStore": "postgres", "databaseSecret": ""},
        "backendStore: 'postgres'; accepted: 'external', which holds",
    ),
    ({}, {"namespace": "other"}, "namespace: 'other'; accepted: 'mlflow', which holds"),
    (
        {"createNamespace": False},
        {"namespace": "other"},
        "namespace: 'other'; accepted: 'mlflow', which holds",
    ),
    (
        {"databaseReplicas": 3},
        {"databaseReplicas": 1},
        "databaseReplicas: 1; accepted: 3 or more: the first member may lack what was written last",
    ),
    (
        {"databaseReplicas": 3},
        {"postgresImage": "postgres:19.1", "patroniImage": "ml/patroni:19.1-4.1.5-0"},
        "patroniImage: 'ml/patroni:19.1-4.1.5-0'; accepted: a release of PostgreSQL 18",
    ),
    (
        {"clientWorkspace": True},
        {"workspaceStorage": "4Gi"},
        "workspaceStorage: '4Gi'; accepted: 5Gi or more: a volume does not shrink",
    ),
    *(
        ({}, {"postgresImage": image}, f"postgresImage: '{image}'; accepted: {accepted}")
        for image, accepted in (
            ("postgres:19.1", "a release of PostgreSQL 18"),
            ("postgres:17.6-trixie", "a release of PostgreSQL 18"),
            ("registry.example/db/pgvector:0.8.0-pg17", "a release of PostgreSQL 18"),
            (f"postgres:17.6@sha256:{64 * 'a'}", "a release of PostgreSQL 18"),
            (f"registry.example/database@sha256:{64 * 'a'}", "a tag that begins with the version"),
            ("registry.example/database:stable", "a tag that begins with the version"),
        )
    ),
    *(
        ({}, {"postgresImage": "postgres:19.1", "postgresFormerImage": former}, said)
        for former, said in (
            ("postgres:17.6", "postgresFormerImage: 'postgres:17.6'; accepted: 'postgres:18.6'"),
            (BY_DIGEST, f"postgresFormerImage: '{BY_DIGEST}'; accepted: 'postgres:18.6'"),
        )
    ),
    (
        {},
        {"postgresImage": "postgres:17.6", "postgresFormerImage": "postgres:18.6"},
        "postgresImage: 'postgres:17.6'; accepted: a release of PostgreSQL 18",
    ),
    *(
        (MYSQL, {"mysqlImage": image}, f"mysqlImage: '{image}'; accepted: {accepted}")
        for image, accepted in (
            ("mysql:9.6.0", "MySQL 9.7 or newer"),
            ("registry.example/mysql:8.4.7-oracle", "MySQL 9.7 or newer"),
            ("mysql:11.0.1", "MySQL 9.7 or newer, one major more at most"),
            (f"mysql@sha256:{64 * 'a'}", "a tag that begins with the version"),
            ("mysql:lts", "a tag that begins with the version"),
        )
    ),
    *(one for tried in TRIED.values() for one in tried.losses),
]


@functools.cache
def left_by(**settings: Any) -> dict[str, Any]:
    """Return the state as the engine tells it after an `up` with these settings."""
    recorded = run_stack(**settings)
    prefix = "urn:pulumi:minikube::mlflow::"
    return {
        f"{prefix}{token}::{name.partition(' ')[2]}": {"type": token, "outputs": inputs}
        for name, (token, inputs) in recorded.resources.items()
    }


def up(before: dict[str, Any], **changed: Any) -> Recorded:
    """Bring a stack up in a state."""
    return run_stack(into=Recorded(state=before), **changed)


@pytest.mark.parametrize(("there", "changed", "said"), WRONG)
def test_what_would_lose_data_is_refused(
    there: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    recorded = Recorded(state=left_by(**there))
    with pytest.raises(pulumi.RunError) as refused:
        run_stack(into=recorded, **{**there, **changed})
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"mlflow:{said}")
    assert line.endswith(GUIDE)
    assert not recorded.resources


@pytest.mark.parametrize("there", [there for there, *_ in WRONG])
def test_nothing_is_refused_where_nothing_changes(there: dict[str, Any]) -> None:
    assert up(left_by(**there), **there).resources


@pytest.mark.parametrize(
    "changed",
    [
        {"databaseStorage": "2Gi", "artifactStorage": "5120Mi"},
        {"replicas": 2, "storageClass": "fast"},
        {"databaseReplicas": 3},
        {"clientWorkspace": True, "workspaceStorage": "100Mi"},
        {"createNamespace": False},
    ],
)
def test_what_loses_nothing_is_taken(changed: dict[str, Any]) -> None:
    assert up(left_by(), **changed).resources


def test_the_namespace_of_release_0_1_0_is_not_left_out_of_the_program() -> None:
    """The engine would delete it: in that release it has another name in the state."""
    released = {
        urn.replace("v1:Namespace::mlflow-", "v1:Namespace::"): one
        for urn, one in left_by().items()
    }
    assert any(urn.endswith("v1:Namespace::namespace") for urn in released)
    assert up(released).resources
    with pytest.raises(pulumi.RunError, match="createNamespace: false; accepted: true for"):
        up(released, createNamespace=False)


def test_every_volume_of_every_component_is_declared_and_guarded() -> None:
    axes = ("backend store", "artifact store", "workspace")
    choices = {choice for axis in axes for choice in AXES[axis]}
    # A few variants have every choice.
    chosen = {next(one for one in VARIANTS if choice in one.choices) for choice in choices}
    made = [variant.render() for variant in chosen]
    with_volumes = {
        name
        for recorded in made
        for name, inputs in recorded.kubernetes().items()
        if name.startswith("PersistentVolumeClaim ")
        or inputs.get("spec", {}).get("volumeClaimTemplates")
    }
    declared = {
        data.resource(name.partition(" ")[2])
        for component in SETTINGS_OF
        for data in component.holds
        for recorded in made
        for name in recorded.resources
        if name.startswith(f"{component.__name__} ")
    }
    assert with_volumes
    assert with_volumes == declared


def test_each_input_by_which_data_can_be_lost_has_its_setting() -> None:
    """The settings are those that are passed on as these inputs."""
    sizes = {"backupStorage": "9Gi", "workspaceStorage": "6Gi", "clientWorkspace": True}
    guarded = {name: one for name, one in TRIED.items() if CHOICES[name].inputs_of_data}
    stacks: list[dict[str, Any]] = [
        {**sizes, "postgresFormerImage": "postgres:17.6"},
        {**sizes, "databaseReplicas": 3},
        {**sizes, **MYSQL},
        *({"artifactStore": name, **one.with_all_inputs} for name, one in guarded.items()),
    ]
    made = [(settings(**chosen), run_stack(**chosen)) for chosen in stacks]
    for component, names in SETTINGS_OF.items():
        named = {
            name
            for data in component.holds
            for name in (
                *(data.storage, data.count, data.image, data.image_of_several),
                data.former_image,
                *(data.only_with or ())[:1],
            )
            if name
        }
        assert {*names} == named
        given = [
            (config, inputs)
            for config, recorded in made
            for name, (_, inputs) in recorded.resources.items()
            if name.startswith(f"{component.__name__} ")
        ]
        for name, setting in names.items():
            # An input that a stack does not need is left out.
            found = [(config, inputs[name]) for config, inputs in given if name in inputs]
            assert found, name
            for config, value in found:
                assert as_text(plain(value)) == config[f"mlflow:{setting}"]


@pytest.mark.parametrize(
    ("there", "changed"),
    [
        ({}, {"postgresImage": "postgres:18.0"}),
        ({}, {"postgresImage": "postgres:19.1", "postgresFormerImage": "postgres:18.7"}),
        ({}, {"postgresFormerImage": "postgres:17.6"}),
        ({}, {"postgresImage": "pgvector/pgvector:0.8.1-pg18-trixie"}),
        ({}, {"imageRegistry": "registry.example/mirror"}),
        ({"databaseReplicas": 3}, {"databaseReplicas": 5}),
        ({"postgresImage": BY_DIGEST}, {"databaseReplicas": 3}),
        ({"databaseReplicas": 3}, {"patroniImage": "ml/patroni:18.7-4.1.6-0"}),
        ({}, {"backupStorage": "9Gi"}),
        # The volume stays, with its size.
        (
            {},
            {
                **{"backupStorage": "1Gi", "backupStore": "s3"},
                **{"backupBucket": "backups", "backupSecret": "theirs"},
            },
        ),
        ({"postgresImage": BY_DIGEST}, {"imageRegistry": "registry.example/mirror"}),
        # The pod's own check looks at the volume.
        ({"postgresImage": BY_DIGEST}, {"postgresImage": "postgres:18.7"}),
        (MYSQL, {"mysqlImage": "mysql:9.7.0"}),
        (MYSQL, {"mysqlImage": f"mysql:10.2.1@sha256:{64 * 'a'}"}),
        *(one for tried in TRIED.values() for one in tried.kept),
    ],
)
def test_images_that_read_the_volume_are_taken(
    there: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert up(left_by(**there), **{**there, **changed}).resources


def test_an_image_that_never_ran_can_be_corrected() -> None:
    before = copy.deepcopy(left_by(**MYSQL, mysqlImage="mysql:97.1"))
    (server,) = [one for urn, one in before.items() if "StatefulSet::mysql-server" in urn]
    server["outputs"]["status"] = {"replicas": 1, "readyReplicas": 0}
    assert up(before, **MYSQL).resources
    server["outputs"]["status"] = {"replicas": 1, "readyReplicas": 1}
    with pytest.raises(pulumi.RunError, match=r"mysqlImage: 'mysql:9.7.1'; accepted: MySQL 97.1"):
        up(before, **MYSQL)


@pytest.mark.parametrize("changed", [changed for there, changed, _ in WRONG if not there])
def test_nothing_is_refused_before_the_server_was_there(changed: dict[str, Any]) -> None:
    first_up_failed = {urn: one for urn, one in left_by().items() if "Deployment" not in urn}
    assert up(first_up_failed, **changed).resources


@pytest.mark.parametrize("create", [True, False])
def test_a_namespace_that_was_made_anew_is_told(
    monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", told.append)
    before = copy.deepcopy(left_by(createNamespace=create))
    (namespace,) = [one for urn, one in before.items() if urn.endswith("::mlflow-namespace")]
    for uid, warnings in (("uid-of-mlflow-namespace", 0), ("of-another-cluster", 1)):
        namespace["outputs"]["metadata"] = {"name": "mlflow", "uid": uid}
        assert up(before, createNamespace=create).resources
        assert len(told) == warnings
    assert told[0].startswith("namespace mlflow is another one than at the last `up`")


def test_a_state_that_the_engine_is_writing_is_read_again() -> None:
    recorded = Recorded(state=left_by(), unreadable=2)
    with pytest.raises(pulumi.RunError, match="databaseStorage: '1023Mi'"):
        run_stack(into=recorded, databaseStorage="1023Mi")


def test_a_state_that_cannot_be_read_is_told_before_anything_changes() -> None:
    recorded = Recorded(unreadable=100)
    with pytest.raises(pulumi.RunError, match=r"cannot be read: failed to load checkpoint: EOF"):
        run_stack(into=recorded)
    assert not recorded.resources
