"""A database and a bucket outside the cluster: used, refused before anything relies on them, left.

The servers are this machine's own, so that the module runs where the cluster is the lab.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from commands import images
from commands import stack as stacks
from commands.cluster import Cluster
from commands.lab_cluster import LabCluster
from tests.e2e import canaries, outside, places
from tests.e2e.alone import alone, machine_of
from tests.e2e.kubectl import restarts
from tests.e2e.outside import Outside
from tests.e2e.stack import Stack
from tests.e2e.test_3_client import MEDIUM, SMALL, assert_all_came_back, job
from tests.e2e.test_5_traps import INSIDE, SERVER

NAMESPACE = "mlflow-e2e-external"
CLOSED = 9
# No stack may print it, right or wrong.
WRONG = "wr0ng-all-the-same"


@pytest.fixture(scope="module")
def servers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    if not isinstance(cluster, LabCluster):
        pytest.skip("the cluster's pods may not reach this machine")
    images.provide(cluster, stacks.settings("minikube"))
    with outside.running(tmp_path_factory.mktemp("outside")) as servers:
        yield servers


@pytest.fixture(scope="module")
def stack(
    cluster: Cluster,
    servers: Outside,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack with nothing of its own but the server."""
    with alone(cluster, tmp_path_factory.mktemp("external"), NAMESPACE) as stack:
        stack.set(
            backendStore="external",
            artifactStore="s3",
            s3Bucket=outside.BUCKET,
            s3Prefix="team/mlflow",
            s3AccessKeyId="mlflow",
        )
        point(stack, servers)
        stack.change("up")
        yield stack


def point(stack: Stack, servers: Outside) -> None:
    """Point the stack at both servers, with what they accept."""
    stack.set(s3Endpoint=servers.endpoint(), s3AccessKeyId="mlflow", databaseSecret="", s3Secret="")
    stack.set_secret(
        databaseUri=servers.uri(),
        authDatabaseUri=servers.uri(name="users"),
        s3SecretAccessKey=servers.key,
        s3Ca=servers.ca,
    )


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> places.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


def untouched(stack: Stack) -> dict[str, Any]:
    """Return what must be the same after a refusal: the server, what it reads, the migration."""
    kubectl = stack.kubectl
    pod = kubectl.pod("mlflow")
    names = ("external-database-credentials", "s3-credentials", "s3-credentials-files")
    secrets = {name: kubectl.json("get", "secret", name)["data"] for name in names}
    migration = kubectl.json("get", "job", "mlflow-migration")["metadata"]["uid"]
    return {"pod": pod["metadata"]["uid"], "restarts": restarts(pod), "job": migration, **secrets}


def test_everything_comes_up_and_nothing_more_is_to_do(stack: Stack) -> None:
    stack.change("preview", "--expect-no-changes")
    pods = {pod["metadata"]["labels"]["app.kubernetes.io/instance"]: pod for pod in pods_of(stack)}
    jobs = ["external-database-check", "mlflow-migration", "s3-check"]
    assert sorted(pods) == sorted(["mlflow", *jobs])
    assert [pods[name]["status"]["phase"] for name in jobs] == ["Succeeded"] * 3
    assert stack.kubectl.items("persistentvolumeclaims") == []
    assert stack.outputs()["artifact_root"] == f"s3://{outside.BUCKET}/team/mlflow"


def pods_of(stack: Stack) -> list[dict[str, Any]]:
    return stack.kubectl.items("pods")


def test_checks_leave_nothing_behind(stack: Stack, servers: Outside) -> None:
    said = stack.kubectl.python(SERVER, INSIDE / "list_tables.py")
    assert "experiments" in said
    assert "mlflow_kubernetes_check" not in said
    assert [found for found in servers.objects.rglob("*") if "check" in found.name] == []


def test_client_does_all_its_work(stack: Stack, machine: places.Machine, servers: Outside) -> None:
    report = job(machine, "external", stack.client_env(), SMALL, MEDIUM)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM)
    assert list((servers.objects / "team" / "mlflow").iterdir())


def wrong_passwords(stack: Stack, servers: Outside) -> list[str]:
    stack.set_secret(databaseUri=servers.uri(password=WRONG), s3SecretAccessKey=WRONG)
    return [
        f"error: the database at {outside.ADDRESS}:{servers.database_port} refuses: .*"
        'password authentication failed for user "mlflow"',
        f"error: cannot list bucket {outside.BUCKET} at {servers.endpoint()}: "
        "SignatureDoesNotMatch: ",
    ]


def nobody_there(stack: Stack, servers: Outside) -> list[str]:
    stack.set(s3Endpoint=servers.endpoint(CLOSED))
    address = f"{outside.ADDRESS}:{servers.silent_port}"
    silent = f"mysql+pymysql://mlflow:{WRONG}@{address}/mlflow"
    stack.set_secret(databaseUri=silent, s3SecretAccessKey=servers.key)
    return [
        # It takes connections, and then says nothing, which this driver would wait for.
        f"error: the database at {address} did not answer within 20 s",
        f"error: bucket {outside.BUCKET} at {servers.endpoint(CLOSED)} did not answer within 15 s",
    ]


def missing_rights(stack: Stack, servers: Outside) -> list[str]:
    stack.kubectl.python(SERVER, INSIDE / "make_reader.py", READER_KEY=servers.key)
    stack.set(s3Endpoint=servers.endpoint(), s3AccessKeyId="reader")
    # The second database is tried as the first one is.
    stack.set_secret(databaseUri=servers.uri(), authDatabaseUri=servers.uri("reader", name="users"))
    return [
        f"error: the database at {outside.ADDRESS}:{servers.database_port} does not let MLflow's "
        "user create tables: permission denied for schema public",
        f"error: cannot write to bucket {outside.BUCKET} at {servers.endpoint()}: AccessDenied: ",
    ]


def wrong_places(stack: Stack, servers: Outside) -> list[str]:
    stack.set(s3AccessKeyId="mlflow", s3Bucket="not-made")
    stack.set_secret(databaseUri=servers.uri(name="old"), authDatabaseUri=servers.uri(name="users"))
    return [
        f"error: the database at {outside.ADDRESS}:{servers.database_port} does not let MLflow's "
        r"user keep any letter \(its encoding must be UTF-8",
        f"error: cannot list bucket not-made at {servers.endpoint()}: NoSuchBucket: ",
    ]


def missing_secrets(stack: Stack, servers: Outside) -> list[str]:
    stack.set(
        s3Bucket=outside.BUCKET,
        s3AccessKeyId="",
        databaseSecret="not-there",
        s3Secret="neither-there",
    )
    for key in ("databaseUri", "authDatabaseUri", "s3SecretAccessKey"):
        stack.pulumi("config", "rm", "--stack", "minikube", key)
    return [
        "error: MLFLOW_BACKEND_STORE_URI is not set: there is no such key in Secret not-there",
        f"error: cannot list bucket {outside.BUCKET} at {servers.endpoint()}: there is no key, "
        "neither in Secret s3-check and neither-there",
    ]


@pytest.mark.parametrize(
    "mistake", [wrong_passwords, nobody_there, missing_rights, wrong_places, missing_secrets]
)
def test_what_cannot_be_used_is_told_within_a_minute_and_touches_nothing(
    stack: Stack, servers: Outside, mistake: Any
) -> None:
    kept = untouched(stack)
    reasons = mistake(stack, servers)
    started = time.monotonic()
    said = stack.change("up", check=False)
    took = time.monotonic() - started
    print(f"{took:.0f} s")
    for reason in reasons:
        assert re.search(reason, said), said
    # Its own 15 s bound a check (components/_checked.py); the rest, of a minute, is the machine's.
    assert took < 180
    assert untouched(stack) == kept
    chosen = {"wrong": WRONG, "password": servers.password, "key": servers.key}
    for place, text in canaries.elsewhere(stack).items():
        assert canaries.found_in(text, chosen) == [], place
    assert "Traceback" not in said


def test_an_address_without_a_port_is_refused_without_showing_it(stack: Stack) -> None:
    stack.set_secret(databaseUri=f"mysql+pymysql://mlflow:{WRONG}@{outside.ADDRESS}/mlflow")
    said = stack.change("preview", check=False)
    lines = {line.partition("error: ")[2] for line in said.splitlines() if "databaseUri" in line}
    assert len(lines) == 1, said
    assert "it has no port" in lines.pop()
    assert WRONG not in said


def test_secrets_of_somebody_else_are_used_and_left(
    stack: Stack, machine: places.Machine, servers: Outside
) -> None:
    kubectl = stack.kubectl
    theirs = {
        "their-database": {
            "MLFLOW_BACKEND_STORE_URI": servers.uri(),
            "MLFLOW_AUTH_DATABASE_URI": servers.uri(name="users"),
        },
        "their-key": {"AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": servers.key},
    }
    for name, content in theirs.items():
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        kubectl("apply", "--filename=-", stdin=json.dumps({**secret, "stringData": content}))
    stack.set(databaseSecret="their-database", s3Secret="their-key")
    for key in ("databaseUri", "authDatabaseUri"):
        stack.pulumi("config", "rm", "--stack", "minikube", key)
    stack.change("up")
    report = machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}
    stack.change("preview", "--expect-no-changes")
    names = {secret["metadata"]["name"] for secret in kubectl.items("secrets")}
    assert names == {
        *theirs,
        "mlflow-keys",
        "mlflow-users",
        "s3-check",
        "s3-check-files",
        "s3-credentials",
        "s3-credentials-files",
    }


def test_secrets_are_kept(stack: Stack, servers: Outside) -> None:
    canaries.assert_kept(
        stack, database_password=servers.password, bucket_key=servers.key, wrong_password=WRONG
    )


def test_destroy_leaves_everything_there(stack: Stack, servers: Outside) -> None:
    kept = sorted(servers.objects.rglob("*"))
    stack.change("destroy")
    assert sorted(servers.objects.rglob("*")) == kept != []
