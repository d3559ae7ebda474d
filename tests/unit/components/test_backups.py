"""The component Backups: its CronJobs, its targets, and the readers of its Secrets."""

import json
from typing import Any

import pulumi
import pytest

from components import Backups, BackupsArgs, Minio, Postgres
from tests.unit.recorder import CERTIFICATE, Recorded, content, password, record, run_stack

BUCKET: dict[str, Any] = {"store": "s3", "bucket": "backups", "access_key_id": "id"}
CHOSEN = "chosen-by-a-person"


def backups(**changed: Any) -> Recorded:
    """Make backups of two stores, with some inputs changed."""

    def program() -> None:
        args: BackupsArgs = {"backend_store": Postgres("db"), "artifact_store": Minio("files")}
        Backups("backup", {**args, **changed})  # type: ignore[typeddict-item]

    return record(program)


def secrets_of(pod: dict[str, Any], name: str) -> list[str]:
    """Return the Secrets that a container of a pod reads."""
    containers = [*pod.get("initContainers", []), *pod["containers"]]
    (container,) = [one for one in containers if one["name"] == name]
    return [one["secretRef"]["name"] for one in container.get("envFrom", [])]


def test_without_a_schedule_both_cron_jobs_are_suspended() -> None:
    for name in ("backup", "backup-verify"):
        spec = backups().inputs(f"CronJob {name}")["spec"]
        assert (spec["suspend"], spec["concurrencyPolicy"]) == (True, "Forbid")
    nightly = backups(schedule="30 1 * * *", verify_schedule="0 6 * * 1")
    save = nightly.inputs("CronJob backup")["spec"]
    assert (save["suspend"], save["schedule"], save["timeZone"]) == (
        *(False, "30 1 * * *"),
        "Etc/UTC",
    )
    verify = nightly.inputs("CronJob backup-verify")["spec"]
    assert (verify["suspend"], verify["schedule"]) == (False, "0 6 * * 1")
    unverified = backups(schedule="30 1 * * *", verify_schedule=None)
    assert unverified.inputs("CronJob backup-verify")["spec"]["suspend"] is True


def test_a_backup_is_a_chain_of_containers_each_with_what_it_needs() -> None:
    pod = backups().pods()["CronJob backup"]
    assert [one["name"] for one in pod["initContainers"]] == ["prepare", "tools", "dump"]
    images = {one["name"]: one["image"] for one in [*pod["initContainers"], *pod["containers"]]}
    assert images["tools"].startswith("rclone/rclone:")
    assert images["dump"].startswith("postgres:")
    assert images["prepare"] == images["job"]
    assert secrets_of(pod, "prepare") == ["db-credentials"]
    # Neither the database's programs nor rclone's image are given a password.
    assert secrets_of(pod, "dump") == secrets_of(pod, "tools") == []
    every = ["db-credentials", "files-credentials", "backup-target", "mlflow-keys"]
    assert secrets_of(pod, "job") == every
    memory = {"name": "connections", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    assert memory in pod["volumes"]


def test_a_verification_reaches_neither_the_database_nor_the_store() -> None:
    found = backups()
    pod = found.pods()["CronJob backup-verify"]
    assert secrets_of(pod, "job") == secrets_of(pod, "fetch") == ["backup-target"]
    template = found.inputs("CronJob backup-verify")["spec"]["jobTemplate"]["spec"]["template"]
    assert not [key for key in template["metadata"]["labels"] if key.startswith("mlflow-kub")]
    (scratch,) = [one for one in pod["initContainers"] if one["name"] == "scratch"]
    assert scratch["restartPolicy"] == "Always"
    assert pod["securityContext"]["runAsUser"] == 999
    saving = found.pods()["CronJob backup"]["securityContext"]
    assert pod["securityContext"]["fsGroup"] == saving["fsGroup"] == 1000


def test_the_volume_outlives_the_choice_of_another_target() -> None:
    claim = backups(storage="3Gi").inputs("PersistentVolumeClaim backup-volume")
    assert claim["metadata"]["name"] == "backup"
    assert claim["spec"]["resources"]["requests"] == {"storage": "3Gi"}
    volumes = backups().pods()["CronJob backup"]["volumes"]
    assert {"name": "backup", "persistentVolumeClaim": {"claimName": "backup"}} in volumes
    bucket = backups(**BUCKET, secret_access_key=CHOSEN)
    assert "PersistentVolumeClaim backup-volume" not in bucket.kubernetes()
    assert {"name": "backup", "emptyDir": {}} in bucket.pods()["CronJob backup"]["volumes"]


def test_the_passphrase_is_generated_or_given() -> None:
    data = content(backups(), "backup-target")
    assert data["BACKUP_PASSPHRASE"] == password("backup-passphrase")
    given = backups(passphrase=CHOSEN)
    assert content(given, "backup-target")["BACKUP_PASSPHRASE"] == CHOSEN
    assert not [name for name in given.resources if "backup-passphrase" in name]


def test_a_bucket_is_reached_with_its_own_key_and_certificates() -> None:
    found = backups(
        **BUCKET,
        secret_access_key=CHOSEN,
        prefix="team/a",
        endpoint="https://s3.example:9001",
        ca=CERTIFICATE,
        networks=["10.9.0.0/16"],
    )
    assert content(found, "backup-target") == {
        "BACKUP_STORE": "s3",
        "BACKUP_PASSPHRASE": password("backup-passphrase"),
        "BACKUP_BUCKET": "backups",
        "BACKUP_PREFIX": "team/a",
        "BACKUP_ENDPOINT": "https://s3.example:9001",
        "BACKUP_REGION": "us-east-1",
        "BACKUP_AWS_ACCESS_KEY_ID": "id",
        "BACKUP_AWS_SECRET_ACCESS_KEY": CHOSEN,
        "BACKUP_CA": "/etc/mlflow-kubernetes/backup-ca.pem",
    }
    (rule, _) = found.inputs("NetworkPolicy backup-clients-policy")["spec"]["egress"]
    assert [port["port"] for port in rule["ports"]] == [9001]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.9.0.0/16"}}]


def test_a_secret_of_others_is_read_beside_the_key_of_the_artifact_store() -> None:
    found = backups(**{"store": "s3", "bucket": "backups", "secret": "theirs"})
    (job,) = found.pods()["CronJob backup"]["containers"]
    assert {
        "prefix": "BACKUP_",
        "secretRef": {"name": "theirs", "optional": True},
    } in job["envFrom"]
    unprefixed = [one for one in job["envFrom"] if one["secretRef"]["name"] == "files-credentials"]
    assert "prefix" not in unprefixed[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"store": "tape"}, r"backup\.store: 'tape'; accepted: volume or s3 or artifacts"),
        (BUCKET, "^backup: with store s3, expected either access_key_id with secret_access_key or"),
        ({"store": "s3", "secret": "theirs"}, r"^backup\.bucket: required with store s3"),
        ({"store": "s3", "access_key_id": "a"}, r"^backup\.bucket: required with store s3"),
        ({**BUCKET, "secret_access_key": "a", "secret": "theirs"}, "either access_key_id with"),
        (
            {"point_in_time": True, "store": "artifacts"},
            "a backend store Postgres whose input repl",
        ),
    ],
)
def test_a_target_that_is_not_described_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(pulumi.RunError, match=said):
        backups(**changed)


def test_the_artifact_store_as_the_target_is_warned_of_and_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi, "warn", lambda text, *_: warned.append(text))
    pod = backups(store="artifacts").pods()["CronJob backup-verify"]
    assert warned == ["backups are in the artifact store, and are lost with it"]
    assert secrets_of(pod, "fetch") == ["backup-target", "files-credentials"]


def test_no_passphrase_or_key_is_in_a_pod() -> None:
    found = run_stack(
        *("backupPassphrase", "backupSecretAccessKey"),
        backupPassphrase=CHOSEN,
        backupStore="s3",
        backupBucket="backups",
        backupAccessKeyId="key-id",
        backupSecretAccessKey="chosen-by-somebody",
    )
    pods = json.dumps(found.pods())
    assert CHOSEN not in pods
    assert "chosen-by-somebody" not in pods
    assert found.exports["backup_passphrase"] == CHOSEN


@pytest.mark.parametrize(
    ("settings", "image"),
    [
        ({"databaseSecret": "theirs"}, "postgres:18.6"),
        ({"databaseSecret": "theirs", "databaseKind": "mysql"}, "mysql:9.7.1"),
        (
            {
                "databaseUri": "mysql+pymysql://ml:chosen-by@db.example:3306/mlflow",
                "authDatabaseUri": "mysql+pymysql://ml:chosen-by@db.example:3306/users",
                "databaseKind": "postgres",
            },
            "mysql:9.7.1",
        ),
    ],
)
def test_a_database_of_others_is_dumped_by_programs_of_its_kind(
    settings: dict[str, Any], image: str
) -> None:
    encrypted = [key for key in settings if key.endswith("Uri")]
    found = run_stack(*encrypted, backendStore="external", **settings)
    assert found.pods()["CronJob backup"]["initContainers"][-1]["image"] == image


def point_in_time(**changed: Any) -> Recorded:
    """Make a stack whose write-ahead log is archived."""
    settings: dict[str, Any] = {"backupStore": "artifacts", "backupSchedule": "0 2 * * *"}
    return run_stack(**{**settings, "backupPointInTime": True, **changed})


def test_the_log_is_archived_by_a_pod_with_a_login_that_copies_alone() -> None:
    found = point_in_time()
    deployment = found.inputs("Deployment backup-wal")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    names = [one["name"] for one in [*pod["initContainers"], *pod["containers"]]]
    assert names == ["tools", "resume", "receive", "archive"]
    assert secrets_of(pod, "receive") == ["postgres-replication"]
    assert secrets_of(pod, "tools") == []
    reached = ["backup-target", "minio-credentials", "postgres-replication"]
    assert secrets_of(pod, "archive") == secrets_of(pod, "resume") == reached
    assert content(found, "postgres-replication") == {
        "PGHOST": "postgres.mlflow.svc",
        "PGUSER": "replicator",
        "PGPASSWORD": password("postgres-replication-password"),
    }
    save = found.pods()["CronJob backup"]
    assert [one["name"] for one in save["initContainers"]] == ["prepare", "tools", "dump", "base"]
    assert secrets_of(save, "base") == ["postgres-replication"]
    for name in ("backup-verify", "mlflow-restore"):
        pod = found.pods()[f"CronJob {name}"]
        assert "recover" in [one["name"] for one in pod["initContainers"]]
        assert secrets_of(pod, "recover") == []


def test_the_server_lets_the_login_in_and_keeps_a_bounded_log() -> None:
    found = point_in_time()
    (server,) = found.pods()["StatefulSet postgres-server"]["containers"]
    assert "wal_keep_size=512MB" in server["args"]
    assert "hba_file=/docker-entrypoint-initdb.d/pg_hba.conf" in server["args"]
    rules = found.inputs("ConfigMap postgres-first-start")["data"]["pg_hba.conf"].splitlines()
    assert "host replication replicator all scram-sha-256" in rules
    assert "host all all all scram-sha-256" in rules
    (role,) = found.pods()["Job postgres-replication"]["containers"]
    given = {one["name"]: one.get("valueFrom") for one in role["env"]}
    assert given["PGPASSWORD"]["secretKeyRef"]["name"] == "postgres-server"
    assert given["REPLICATION_PASSWORD"]["secretKeyRef"]["name"] == "postgres-replication"


def test_without_the_setting_no_object_knows_of_it() -> None:
    found = run_stack(backupStore="artifacts", backupSchedule="0 2 * * *")
    assert "Deployment backup-wal" not in found.kubernetes()
    assert "Secret postgres-replication" not in found.kubernetes()
    for name in ("backup", "backup-verify", "mlflow-restore"):
        containers = [one["name"] for one in found.pods()[f"CronJob {name}"]["initContainers"]]
        assert not {"base", "recover"} & {*containers}
