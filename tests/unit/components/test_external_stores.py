"""A database and a bucket outside the stack: what is asked for, and in which order it is handed on.

That wrong ones are refused before anything relies on them, tests/e2e shows on real ones.
"""

import hashlib
import json
from typing import Any

import pulumi
import pytest

from components import S3, ExternalDatabase, S3Args
from components._kubernetes.uris import with_authority, with_connect_timeout
from tests.unit.recorder import CERTIFICATE, Recorded, content, record, run_stack

URI = "mysql+pymysql://ml:chosen-by-a-person@db.example:3306/mlflow"
USERS = "postgresql+psycopg2://ml:chosen-by-another@users.example:5432/users?sslmode=require"
KEY = "chosen-by-somebody"
BUCKET: S3Args = {
    "namespace": "ns",
    "server_image": "server:1",
    "bucket": "mlflow",
    "region": "eu-central-1",
}


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack(
        *("databaseUri", "authDatabaseUri", "s3SecretAccessKey"),
        backendStore="external",
        databaseUri=URI,
        authDatabaseUri=USERS,
        databaseConnections=60,
        artifactStore="s3",
        s3Endpoint="https://s3.example:9000",
        s3Bucket="mlflow",
        s3Prefix="team/a",
        s3AccessKeyId="key-id",
        s3SecretAccessKey=KEY,
        s3Ca=CERTIFICATE,
    )


@pytest.fixture(scope="module")
def on_existing_secrets() -> Recorded:
    return run_stack(
        backendStore="external",
        databaseSecret="their-database",
        artifactStore="s3",
        s3Bucket="mlflow",
        s3Secret="their-key",
    )


def test_what_pulumi_keeps_of_a_component_holds_no_secret_in_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[object] = []
    real = pulumi.ComponentResource.__init__

    def init(self: pulumi.ComponentResource, kind: str, name: str, *given: Any) -> None:
        kept.append((kind, name, given))
        real(self, kind, name, *given)

    monkeypatch.setattr(pulumi.ComponentResource, "__init__", init)
    run_stack(
        *("databaseUri", "authDatabaseUri", "s3SecretAccessKey"),
        backendStore="external",
        databaseUri=URI,
        authDatabaseUri=URI,
        artifactStore="s3",
        s3Bucket="mlflow",
        s3AccessKeyId="key-id",
        s3SecretAccessKey=KEY,
    )
    # An Output shows nothing of itself.
    shown = repr(kept)
    assert "'bucket': 'mlflow'" in shown
    assert "chosen-by" not in shown


def environment(stack: Recorded, pod: str) -> list[str]:
    """Return the names of the Secrets that a pod reads."""
    (container,) = stack.pods()[pod]["containers"]
    return [source["secretRef"]["name"] for source in container["envFrom"]]


def test_it_asks_for_exactly_these_objects(stack: Recorded) -> None:
    assert sorted(stack.kubernetes()) == [
        "ConfigMap mlflow-upgrade",
        "CronJob backup",
        "CronJob backup-verify",
        "CronJob mlflow-gc",
        "CronJob mlflow-rollback",
        "Deployment mlflow-server",
        "Ingress mlflow",
        "Job external-database-check",
        "Job mlflow-migration",
        "Job s3-check",
        "Namespace mlflow-namespace",
        "NetworkPolicy external-database-check-clients-policy",
        "NetworkPolicy external-database-clients-policy",
        "NetworkPolicy mlflow-clients-policy",
        "NetworkPolicy mlflow-default-deny-policy",
        "NetworkPolicy mlflow-migration-policy",
        "NetworkPolicy mlflow-policy",
        "NetworkPolicy s3-check-clients-policy",
        "NetworkPolicy s3-clients-policy",
        "PersistentVolumeClaim backup-volume",
        "Role mlflow-migration-role",
        "RoleBinding mlflow-migration-role-binding",
        "Secret backup-target",
        "Secret external-database-check",
        "Secret external-database-credentials",
        "Secret mlflow-keys",
        "Secret mlflow-users",
        "Secret s3-check",
        "Secret s3-check-files",
        "Secret s3-credentials",
        "Secret s3-credentials-files",
        "Service mlflow-service",
        "ServiceAccount mlflow-migration-account",
    ]


def test_the_check_reads_what_is_new_and_the_server_what_was_accepted(stack: Recorded) -> None:
    assert environment(stack, "Job external-database-check") == ["external-database-check"]
    assert environment(stack, "Job s3-check") == ["s3-check"]
    assert environment(stack, "Job mlflow-migration") == [
        "external-database-credentials",
        "mlflow-users",
        "mlflow-keys",
        "s3-credentials",
        "backup-target",
    ]
    # Two databases: each is tried.
    (check,) = stack.pods()["Job external-database-check"]["containers"]
    assert {"name": "AUTHENTICATION", "value": "true"} in check["env"]
    assert environment(stack, "Deployment mlflow-server") == [
        "external-database-credentials",
        "s3-credentials",
        "mlflow-keys",
    ]
    for backend in ("external-database", "s3"):
        assert content(stack, f"{backend}-check") == content(stack, f"{backend}-credentials")


def test_the_address_and_the_key_are_in_secrets_alone(stack: Recorded) -> None:
    assert content(stack, "external-database-credentials") == {
        "MLFLOW_BACKEND_STORE_URI": f"{URI}?connect_timeout=5",
        "MLFLOW_AUTH_DATABASE_URI": f"{USERS}&connect_timeout=5",
    }
    for name, inputs in stack.kubernetes().items():
        if not name.startswith("Secret"):
            assert "chosen-by" not in json.dumps(inputs), name
    assert "chosen-by" not in json.dumps(stack.exports)


def test_the_server_finds_the_bucket_and_trusts_its_certificate(stack: Recorded) -> None:
    assert content(stack, "s3-credentials") == {
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/team/a",
        "MLFLOW_S3_ENDPOINT_URL": "https://s3.example:9000",
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key-id",
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_CA_BUNDLE": "/etc/mlflow-kubernetes/s3-ca.pem",
    }
    assert content(stack, "s3-credentials-files") == {"s3-ca.pem": CERTIFICATE}
    for name, secret in (("Job s3-check", "check"), ("Deployment mlflow-server", "credentials")):
        volumes = stack.pods()[name]["volumes"]
        assert {
            "name": "files",
            "projected": {"sources": [{"secret": {"name": f"s3-{secret}-files"}}]},
        } in volumes
    assert stack.exports["artifact_root"] == "s3://mlflow/team/a"
    assert stack.exports["s3_endpoint_url"] == "https://s3.example:9000"
    assert stack.exports["hosts_line"].endswith(" mlflow-server.local")


def test_pools_fit_what_the_owner_allows(stack: Recorded) -> None:
    (server,) = stack.pods()["Deployment mlflow-server"]["containers"]
    variables = {one["name"]: one["value"] for one in server["env"]}
    assert variables["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"] == "2"
    (check,) = stack.pods()["Job external-database-check"]["containers"]
    assert {"name": "CONNECTIONS", "value": "60"} in check["env"]


def test_a_check_is_told_within_a_minute(stack: Recorded) -> None:
    for name in ("Job external-database-check", "Job s3-check"):
        spec = stack.inputs(name)["spec"]
        assert spec["backoffLimit"] == 0, name
        (container,) = spec["template"]["spec"]["containers"]
        # The pod may have to pull its image first; the check itself ends 5 s later at most.
        assert {"name": "TIMEOUT_SECONDS", "value": "15"} in container["env"], name
        # A Secret that is missing would keep the pod from starting, without a word.
        assert all(source["secretRef"]["optional"] for source in container["envFrom"]), name


def test_pods_restart_when_the_address_changes_and_nobody_can_guess_it_from_that() -> None:
    def fingerprint(uri: str) -> str:
        external = {"backendStore": "external", "databaseUri": uri, "auth": "none"}
        stack = run_stack("databaseUri", **external)
        template = stack.inputs("Job mlflow-migration")["spec"]["template"]
        found: str = template["metadata"]["annotations"]["mlflow-kubernetes/secrets"]
        return found

    assert fingerprint(URI) == fingerprint(URI)
    assert fingerprint(URI) != fingerprint(URI + "2")
    alone = f"MLFLOW_BACKEND_STORE_URI\0{URI}?connect_timeout=5"
    assert fingerprint(URI) != hashlib.sha256(alone.encode()).hexdigest()[:16]


def test_existing_secrets_are_read_and_left_alone(on_existing_secrets: Recorded) -> None:
    secrets = [name for name in on_existing_secrets.kubernetes() if name.startswith("Secret")]
    assert sorted(secrets) == [
        "Secret backup-target",
        "Secret mlflow-keys",
        "Secret mlflow-users",
        "Secret s3-check",
        "Secret s3-credentials",
    ]
    assert environment(on_existing_secrets, "Job external-database-check") == ["their-database"]
    assert environment(on_existing_secrets, "Deployment mlflow-server") == [
        "their-database",
        "s3-credentials",
        "their-key",
        "mlflow-keys",
    ]
    found = content(on_existing_secrets, "s3-credentials")
    assert found == {
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_a_service_account_stands_in_for_a_key_and_still_has_no_token() -> None:
    stack = run_stack(artifactStore="s3", s3Bucket="mlflow", s3ServiceAccount="mlflow-s3")
    for name in ("Deployment mlflow-server", "Job s3-check", "Job mlflow-migration"):
        assert stack.pods()[name]["serviceAccountName"] == "mlflow-s3"
        assert stack.pods()[name]["automountServiceAccountToken"] is False
    # The Job has its rights under the account with which the bucket lets it in.
    (subject,) = stack.inputs("RoleBinding mlflow-migration-role-binding")["subjects"]
    assert subject["name"] == "mlflow-s3"


@pytest.mark.parametrize(
    "wrong",
    [{"access_key_id": "a"}, {"access_key_id": "a", "secret_access_key": "b", "secret": "c"}],
)
def test_half_a_key_or_two_are_refused(wrong: S3Args) -> None:
    with pytest.raises(pulumi.RunError, match=r"^s3: expected access_key_id with"):
        record(lambda: S3("s3", {**BUCKET, **wrong}))


def test_a_database_without_address_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match=r"^db: expected either uri or secret"):
        record(
            lambda: ExternalDatabase(
                "db",
                {"namespace": "ns", "server_image": "server:1", "connections": 90, "auth": True},
            )
        )


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("a://b", "a://b?connect_timeout=5"),
        ("a://b?x=1", "a://b?x=1&connect_timeout=5"),
        ("a://b?connect_timeout=9", "a://b?connect_timeout=9"),
    ],
)
def test_somebody_elses_address_gets_a_time_limit(given: str, used: str) -> None:
    assert with_connect_timeout(given) == used


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (
            "postgresql+psycopg2://ml:a@db:1/ml",
            "postgresql+psycopg2://ml:a@db:1/ml?sslmode=verify-full&sslrootcert=/ca.pem",
        ),
        (
            "postgresql+psycopg2://ml:a@db:1/ml?sslmode=verify-ca",
            "postgresql+psycopg2://ml:a@db:1/ml?sslmode=verify-ca&sslrootcert=/ca.pem",
        ),
        ("mysql+pymysql://ml:a@db:1/ml?a=b", "mysql+pymysql://ml:a@db:1/ml?a=b&ssl_ca=/ca.pem"),
    ],
)
def test_somebody_elses_address_asks_for_the_authority(given: str, used: str) -> None:
    assert with_authority(given, "/ca.pem") == used


def test_all_who_reach_the_database_trust_its_authority() -> None:
    stack = run_stack(
        *("databaseUri", "authDatabaseUri"),
        backendStore="external",
        databaseUri=URI,
        authDatabaseUri=USERS.replace("require", "verify-ca"),
        databaseCa=CERTIFICATE,
    )
    file = "/etc/mlflow-kubernetes/database-ca.pem"
    assert content(stack, "external-database-credentials") == {
        "MLFLOW_BACKEND_STORE_URI": f"{URI}?connect_timeout=5&ssl_ca={file}",
        "MLFLOW_AUTH_DATABASE_URI": (
            USERS.replace("require", "verify-ca") + f"&connect_timeout=5&sslrootcert={file}"
        ),
    }
    assert content(stack, "external-database-credentials-files") == {"database-ca.pem": CERTIFICATE}
    for name, what in (
        ("Job external-database-check", "check"),
        ("Job mlflow-migration", "credentials"),
        ("Deployment mlflow-server", "credentials"),
    ):
        sources = [{"secret": {"name": f"external-database-{what}-files"}}]
        volumes = stack.pods()[name]["volumes"]
        assert {"name": "files", "projected": {"sources": sources}} in volumes, name
    (check,) = stack.pods()["Job external-database-check"]["containers"]
    assert {"name": "DATABASE_CA", "value": file} in check["env"]
