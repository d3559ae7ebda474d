"""`mlflow:rotation`: what a stack has before and after, who reads it, and what is refused.

tests/server/inside/test_rotation.py encrypts anew, and tests/e2e/own_stack/test_rotation.py rotates
all of a real stack.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import ExternalDatabase, Mysql, Postgres, TrackingServer
from components._login import fernet_key
from components.backend_stores.mysql import WRITE_LOGIN
from settings.values import ROTATED
from tests.unit.recorder import Recorded, content, password, pod_template, record, run_stack

SERVER = "Deployment mlflow-server"


@pytest.fixture(scope="module")
def before() -> Recorded:
    return run_stack()


@pytest.fixture(scope="module")
def twice() -> Recorded:
    """A stack of which everything was rotated twice."""
    return run_stack(rotation=dict.fromkeys(ROTATED, 2))


@pytest.fixture(scope="module")
def mysql_twice() -> Recorded:
    """A stack with MySQL, whose passwords were rotated twice."""
    return on_mysql(2)


def rotated(**numbers: int) -> Recorded:
    return run_stack(rotation=numbers)


def on_mysql(number: int) -> Recorded:
    return run_stack(backendStore="mysql", rotation={"database": number})


def changed(before: Recorded, after: Recorded) -> set[str]:
    """Return the names of the resources of both that are not the same."""
    both = before.resources.keys() & after.resources.keys()
    return {name for name in both if before.resources[name] != after.resources[name]}


def fingerprint(stack: Recorded, name: str) -> str:
    template = pod_template(stack.inputs(name))
    assert template
    found: str = template["metadata"]["annotations"]["mlflow-kubernetes/secrets"]
    return found


def test_a_stack_without_a_rotation_has_what_it_always_had(before: Recorded) -> None:
    assert not [name for name in before.resources if re.search(r"-\d+$|rotation|-login", name)]
    none = run_stack(rotation=dict.fromkeys(ROTATED, 0))
    assert none.resources == before.resources


def test_no_password_that_was_there_before_changes(before: Recorded, twice: Recorded) -> None:
    def passwords(stack: Recorded) -> set[str]:
        return {name for name in stack.resources if name.startswith("RandomPassword ")}

    assert passwords(before) < passwords(twice)
    assert not passwords(before) & changed(before, twice)
    more = passwords(twice) - passwords(before)
    assert more == {
        f"RandomPassword {name}-{number}"
        for number in (1, 2)
        for name in (
            *("postgres-password", "postgres-superuser-password"),
            *("minio-server-key", "minio-root-password"),
            *("mlflow-admin-password", "mlflow-page-key"),
            *("mlflow-passphrase", "mlflow-webhook-key"),
        )
    }


@pytest.mark.parametrize(
    ("name", "restarted"),
    [
        ("database", {SERVER}),
        ("store", {SERVER}),
        ("admin", set[str]()),
        ("page", {SERVER}),
        ("kek", {SERVER}),
        ("webhook", {SERVER}),
        ("storeRoot", {"StatefulSet minio-server"}),
    ],
)
def test_a_rotation_restarts_what_reads_the_secret_and_no_database(
    before: Recorded, name: str, restarted: set[str]
) -> None:
    after = rotated(**{name: 1})
    servers = {SERVER, "StatefulSet minio-server", "StatefulSet postgres-server"}
    assert changed(before, after) & servers == restarted


def test_each_rotation_of_the_database_has_a_login_of_its_own(twice: Recorded) -> None:
    uris = content(twice, "postgres-credentials")
    login = f"mlflow_2:{password('postgres-password-2')}@postgres.mlflow.svc"
    assert all(f"//{login}:5432/" in uri for uri in uris.values())
    # The image reads these at the first start: a changed Secret would restart the pod for nothing.
    assert content(twice, "postgres-server") == {
        "POSTGRES_PASSWORD": password("postgres-superuser-password"),
        "APPLICATION_PASSWORD": password("postgres-password"),
    }
    (job,) = twice.pods()["Job postgres-login"]["containers"]
    given = {one["name"]: one.get("value") for one in job["env"]}
    assert given["APPLICATION_OWNER"] == "mlflow"
    assert given["APPLICATION_USER"] == "mlflow_2"
    known = content(twice, "postgres-rotation")
    # The database may have any of them.
    assert known["POSTGRES_PASSWORDS"].split() == [
        password(f"postgres-superuser-password{number}") for number in ("-2", "-1", "")
    ]
    assert known["POSTGRES_PASSWORD"] == known["POSTGRES_PASSWORDS"].split()[0]
    assert known["APPLICATION_PASSWORD"] == password("postgres-password-2")


def test_a_rotation_of_mysql_restarts_the_database_and_the_servers() -> None:
    before = run_stack(backendStore="mysql")
    assert on_mysql(0).resources == before.resources
    servers = {SERVER, "StatefulSet minio-server", "StatefulSet mysql-server"}
    for former, number in ((before, 1), (on_mysql(1), 2)):
        after = on_mysql(number)
        assert changed(former, after) & servers == {SERVER, "StatefulSet mysql-server"}
        assert after.resources.keys() - former.resources.keys() >= {
            f"RandomPassword mysql-password-{number}",
            f"RandomPassword mysql-root-password-{number}",
        }


def test_each_rotation_of_mysql_has_a_login_of_its_own(mysql_twice: Recorded) -> None:
    uris = content(mysql_twice, "mysql-credentials")
    login = f"mlflow_2:{password('mysql-password-2')}@mysql.mlflow.svc"
    assert all(f"//{login}:3306/" in uri for uri in uris.values())
    # A pod of the rotation before may start once more while these are written.
    assert content(mysql_twice, "mysql-server") == {
        f"{variable}{key}": password(f"mysql-{name}{number}")
        for variable, name in (
            ("MYSQL_ROOT_PASSWORD", "root-password"),
            ("MYSQL_PASSWORD", "password"),
        )
        for key, number in (("", ""), ("_1", "-1"), ("_2", "-2"))
    }
    pod = mysql_twice.pods()["StatefulSet mysql-server"]
    (server,) = pod["containers"]
    _, writes = pod["initContainers"]
    for container in (server, writes):
        given = {one["name"]: one for one in container["env"]}
        assert given["MYSQL_USER"]["value"] == "mlflow_2"
        for name in ("MYSQL_PASSWORD", "MYSQL_ROOT_PASSWORD"):
            source = given[name]["valueFrom"]["secretKeyRef"]
            assert source == {"name": "mysql-server", "key": f"{name}_2"}
    assert f"--init-file={writes['command'][5]}" in server["args"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "login"]
    assert volume["emptyDir"]["medium"] == "Memory"
    # An empty volume gets the new login alone.
    (script,) = mysql_twice.inputs("ConfigMap mysql-first-start")["data"].values()
    assert "TO 'mlflow_2'@'%'" in script


def test_former_logins_of_mysql_end_themselves(mysql_twice: Recorded) -> None:
    known = content(mysql_twice, "mysql-rotation")
    assert {key: json.loads(text) for key, text in known.items()} == {
        "DATABASE_FORMER_LOGINS": {
            "mlflow": password("mysql-password"),
            "mlflow_1": password("mysql-password-1"),
        }
    }
    (container,) = mysql_twice.pods()["Job mlflow-rotation"]["containers"]
    assert {one["secretRef"]["name"] for one in container["envFrom"]} == {
        *("mysql-credentials", "minio-credentials", "mlflow-keys", "mysql-rotation")
    }
    assert "Job mysql-login" not in mysql_twice.resources
    job = "Job mlflow-rotation"
    assert fingerprint(mysql_twice, job) != fingerprint(on_mysql(1), job)


def written_at_start(folder: Path, password: str) -> str:
    """Return the statements that the init container of MySQL's pod writes."""
    file = folder / "start.sql"
    subprocess.run(
        ["sh", "-c", WRITE_LOGIN, "sh", str(folder), str(file), "mlflow", r"mlflow\_auth"],
        env={
            "PATH": os.environ["PATH"],
            "MYSQL_USER": "mlflow_1",
            "MYSQL_PASSWORD": password,
            "MYSQL_ROOT_PASSWORD": "of-root",
        },
        check=True,
    )
    assert file.stat().st_mode & 0o777 == 0o600
    return file.read_text()


def test_mysql_makes_the_new_login_at_each_start_but_the_first(tmp_path: Path) -> None:
    assert written_at_start(tmp_path, "new") == ""
    (tmp_path / "data" / "mysql").mkdir(parents=True)
    for given, quoted in (("new", "'new'"), (r"a'b\%s\n", r"'a\'b\\%s\\n'")):
        # A second run leaves nothing of the first one.
        assert written_at_start(tmp_path, given).splitlines() == [
            f"CREATE USER IF NOT EXISTS 'mlflow_1'@'%' IDENTIFIED BY {quoted};",
            f"ALTER USER 'mlflow_1'@'%' IDENTIFIED BY {quoted};",
            "GRANT ALL ON `mlflow`.* TO 'mlflow_1'@'%';",
            r"GRANT ALL ON `mlflow\_auth`.* TO 'mlflow_1'@'%';",
            "ALTER USER IF EXISTS 'root'@'localhost' IDENTIFIED BY 'of-root';",
        ]


def test_the_login_that_copies_the_database_is_rotated_with_it() -> None:
    stack = run_stack(
        rotation={"database": 1},
        backupPointInTime=True,
        backupSchedule="0 2 * * *",
        backupStore="artifacts",
    )
    assert content(stack, "postgres-replication")["PGPASSWORD"] == password(
        "postgres-replication-password-1"
    )
    (job,) = stack.pods()["Job postgres-replication"]["containers"]
    sources = {one["name"]: one.get("valueFrom") for one in job["env"]}
    assert sources["PGPASSWORD"]["secretKeyRef"] == {
        "name": "postgres-rotation",
        "key": "POSTGRES_PASSWORD",
    }


def test_each_rotation_of_the_store_has_a_key_of_its_own(twice: Recorded) -> None:
    credentials = content(twice, "minio-credentials")
    assert credentials["AWS_ACCESS_KEY_ID"] == "mlflow-server-2"
    assert credentials["AWS_SECRET_ACCESS_KEY"] == password("minio-server-key-2")
    assert content(twice, "minio-root")["MINIO_ROOT_PASSWORD"] == password("minio-root-password-2")
    direct = run_stack(rotation={"store": 1}, artifactAccess="direct").exports["client_env"]
    assert direct["AWS_ACCESS_KEY_ID"] == "mlflow-server-1"
    assert direct["AWS_SECRET_ACCESS_KEY"] == password("minio-server-key-1")


def test_servers_get_the_new_keys_and_those_that_may_have_encrypted(twice: Recorded) -> None:
    keys = content(twice, "mlflow-keys")
    assert keys["MLFLOW_FLASK_SERVER_SECRET_KEY"] == password("mlflow-page-key-2")
    assert keys["MLFLOW_CRYPTO_KEK_PASSPHRASE"] == password("mlflow-passphrase-2")
    assert keys["MLFLOW_CRYPTO_KEK_VERSION"] == "3"
    assert json.loads(keys["MLFLOW_KUBERNETES_FORMER_KEYS"]) == {
        "passphrases": [password("mlflow-passphrase-1"), password("mlflow-passphrase")],
        "webhooks": [
            fernet_key(password("mlflow-webhook-key-1")),
            fernet_key(password("mlflow-webhook-key")),
        ],
    }


def test_the_admin_alone_has_another_password() -> None:
    stack = run_stack(rotation={"admin": 1}, clientWorkspace=True)
    assert json.loads(content(stack, "mlflow-users")["USERS"]) == {
        "admin": password("mlflow-admin-password-1"),
        "workspace": password("mlflow-workspace-password"),
    }
    assert stack.exports["client_env"]["MLFLOW_TRACKING_PASSWORD"] == password(
        "mlflow-admin-password-1"
    )


@pytest.mark.parametrize(
    ("names", "secrets"),
    [
        (("admin", "page", "storeRoot"), None),
        (("kek",), {"postgres-credentials", "minio-credentials", "mlflow-keys"}),
        (
            ("database",),
            {"postgres-credentials", "minio-credentials", "mlflow-keys", "postgres-rotation"},
        ),
        (("store",), {"postgres-credentials", "minio-credentials", "mlflow-keys", "minio-root"}),
    ],
)
def test_a_job_ends_what_is_good_beside_its_successor(
    names: tuple[str, ...], secrets: set[str] | None
) -> None:
    pods = rotated(**dict.fromkeys(names, 1)).pods()
    assert ("Job mlflow-rotation" in pods) == (secrets is not None)
    if secrets is not None:
        (container,) = pods["Job mlflow-rotation"]["containers"]
        assert container["command"][-1] == "mlflow_kubernetes.end_former"
        assert {one["secretRef"]["name"] for one in container["envFrom"]} == secrets
        given = {one["name"]: one.get("value") for one in container["env"]}
        grace = pods[SERVER]["terminationGracePeriodSeconds"]
        assert int(given["FORMER_POD_SECONDS"]) == int(grace)


def test_the_job_runs_again_for_each_rotation() -> None:
    once, then = rotated(kek=1), rotated(kek=2)
    assert fingerprint(once, "Job mlflow-rotation") != fingerprint(then, "Job mlflow-rotation")
    assert fingerprint(rotated(database=1), "Job postgres-login") != fingerprint(
        rotated(database=2), "Job postgres-login"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {
                "rotation": {"database": 1},
                "backendStore": "external",
                "databaseSecret": "theirs",
            },
            "database only with backendStore: postgres or mysql; see docs/rotation.md",
        ),
        ({"rotation": {"store": 1}, "artifactStore": "hdfs"}, "store only with artifactStore"),
        ({"rotation": {"storeRoot": 1}, "artifactStore": "hdfs"}, "storeRoot only with artifactS"),
        ({"rotation": {"admin": 1}, "auth": "none"}, "admin only with auth: basic"),
    ],
)
def test_what_a_stack_does_not_generate_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        run_stack(**settings)
    (line,) = str(refused.value).splitlines()
    assert line.startswith("mlflow:rotation: {")
    assert f"accepted: {said}" in line


def left_by(stack: Recorded) -> dict[str, Any]:
    """Return the state after an `up`."""
    return {
        f"urn:pulumi:minikube::mlflow::{token}::{name.partition(' ')[2]}": {
            "type": token,
            "outputs": inputs,
        }
        for name, (token, inputs) in stack.resources.items()
    }


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((name, {}) for name in ROTATED), ("database", {"backendStore": "mysql"})],
)
def test_no_former_password_comes_back(name: str, settings: dict[str, str]) -> None:
    state = left_by(run_stack(rotation={name: 2}, **settings))
    with pytest.raises(pulumi.RunError) as refused:
        run_stack(into=Recorded(state=state), rotation={name: 1}, **settings)
    (line,) = str(refused.value).splitlines()
    assert line == (
        f"mlflow:rotation: {{'{name}': 1}}; accepted: {name} 2 or more; see docs/rotation.md"
    )
    assert run_stack(into=Recorded(state=state), rotation={name: 3}, **settings).resources


def test_a_login_that_is_switched_off_takes_its_admin_along() -> None:
    state = left_by(rotated(admin=2))
    assert run_stack(into=Recorded(state=state), auth="none").resources


def test_components_refuse_numbers_that_are_none_and_stores_that_were_not_rotated() -> None:
    def postgres(number: int) -> None:
        Postgres("db", {"rotation": number})

    with pytest.raises(pulumi.RunError, match=r"db\.rotation: 1000; accepted: a whole number from"):
        record(lambda: postgres(1000))
    with pytest.raises(pulumi.RunError, match=r"db\.rotation: -1; accepted"):
        record(lambda: postgres(-1))

    with pytest.raises(pulumi.RunError, match=r"db\.rotation: 1000; accepted"):
        record(lambda: Mysql("db", {"rotation": 1000}))

    def server() -> None:
        database = ExternalDatabase("db", {"secret": "theirs"})
        TrackingServer(
            "ml",
            {
                "backend_store": database,
                "artifact_store": {"credentials": {"secret": "s", "fingerprint": "f"}},
                "rotation": {"database": 1},
            },
        )

    with pytest.raises(pulumi.RunError, match=r"ml\.rotation\.database: accepted: only with a sto"):
        record(server)
