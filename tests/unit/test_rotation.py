"""`mlflow:rotation`: what a stack has before and after, who reads it, and what is refused.

tests/server/inside/test_rotation.py encrypts anew, and tests/e2e/own_stack/test_rotation.py rotates
all of a real stack.
"""

import json
import re
from typing import Any

import pulumi
import pytest

from components import ExternalDatabase, Postgres, TrackingServer
from components._login import fernet_key
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


def rotated(**numbers: int) -> Recorded:
    return run_stack(rotation=numbers)


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
        ({"rotation": {"database": 1}, "backendStore": "mysql"}, "database only with backendStore"),
        (
            {
                "rotation": {"database": 1},
                "backendStore": "external",
                "databaseSecret": "theirs",
            },
            "database only with backendStore: postgres; see docs/rotation.md",
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


@pytest.mark.parametrize("name", ROTATED)
def test_no_former_password_comes_back(name: str) -> None:
    state = left_by(rotated(**{name: 2}))
    with pytest.raises(pulumi.RunError) as refused:
        run_stack(into=Recorded(state=state), rotation={name: 1})
    (line,) = str(refused.value).splitlines()
    assert line == (
        f"mlflow:rotation: {{'{name}': 1}}; accepted: {name} 2 or more; see docs/rotation.md"
    )
    assert run_stack(into=Recorded(state=state), rotation={name: 3}).resources


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
