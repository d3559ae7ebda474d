"""A database and a bucket outside the cluster: checked, used, refused in one line, left.

The servers are this machine's own, so that the module runs where the cluster is the lab.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from commands.support.cluster import Cluster
from harness import clients
from harness.kubectl import Kubectl, restarts
from harness.stack import Stack
from tests.e2e.support import artifact_names, backups, external_servers, secret_search
from tests.e2e.support.external_servers import ADDRESS, BUCKET, Outside
from tests.e2e.support.http_receivers import IN_A_POD, Receiver, receiver
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.training_job import MEDIUM, SMALL, assert_all_came_back, job

MODELS = "mlflow-e2e-models"
NAMESPACE = "mlflow-e2e-external"
CLOSED = 9
CA = "/etc/mlflow-kubernetes/database-ca.pem"
VERIFIED = f"?sslmode=verify-full&sslrootcert={CA}"
# No stack may print it, right or wrong.
WRONG = "wr0ng-all-the-same"


@pytest.fixture(scope="module")
def servers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with external_servers.running(cluster, tmp_path_factory.mktemp("outside")) as servers:
        yield servers


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Receiver]]:
    """A server that speaks TLS, and a proxy, which gets whole URLs."""
    with ExitStack() as block:
        folder = tmp_path_factory.mktemp("receiver") / "tls"
        yield {
            "tls": block.enter_context(receiver(folder)),
            "proxy": block.enter_context(receiver()),
        }


@pytest.fixture(scope="module")
def stack(
    cluster: Cluster,
    servers: Outside,
    receivers: dict[str, Receiver],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack with nothing of its own but the server."""
    with temporary_stack(cluster, tmp_path_factory.mktemp("external"), NAMESPACE) as stack:
        proxy = f"http://{ADDRESS}:{receivers['proxy'].port}"
        stack.set(
            backendStore="external",
            artifactStore="s3",
            s3Bucket=BUCKET,
            s3Prefix="team/mlflow",
            s3AccessKeyId="mlflow",
            egress=json.dumps(
                [
                    *(f"{ADDRESS}:{one.port}" for one in receivers.values()),
                    f"{ADDRESS}:{servers.mysql_port}",
                    f"{MODELS}:8000",
                ]
            ),
            httpProxy=proxy,
            # It would not take what the store is sent, which is at the same address as others.
            httpsProxy=proxy,
            backupStore="s3",
            backupBucket=BUCKET,
            backupPrefix="team/backups",
            backupEndpoint=servers.endpoint(),
            backupAccessKeyId="mlflow",
        )
        stack.set_secret(backupSecretAccessKey=servers.key, backupCa=servers.ca)
        stack.set_secret(egressCa=receivers["tls"].ca)
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
        databaseCa=servers.database_ca,
    )


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
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
    assert stack.outputs()["artifact_root"] == f"s3://{BUCKET}/team/mlflow"


def pods_of(stack: Stack) -> list[dict[str, Any]]:
    return stack.kubectl.items("pods")


def test_checks_leave_nothing_behind(stack: Stack, servers: Outside) -> None:
    said = stack.kubectl.python(SERVER, POD_SCRIPTS / "list_tables.py")
    assert "experiments" in said
    assert "mlflow_kubernetes_check" not in said
    assert [found for found in servers.objects.rglob("*") if "check" in found.name] == []


def test_client_does_all_its_work(stack: Stack, machine: clients.Machine, servers: Outside) -> None:
    report = job(machine, "external", stack.client_env(), SMALL, MEDIUM)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM)
    assert list((servers.objects / "team" / "mlflow").iterdir())


def test_names_that_need_escaping_pass_or_are_refused(
    stack: Stack, machine: clients.Machine
) -> None:
    artifact_names.assert_kept_or_refused(machine, stack.client_env())


def test_every_connection_to_the_database_is_verified(stack: Stack) -> None:
    said = stack.kubectl.python(SERVER, POD_SCRIPTS / "list_connections.py")
    versions = json.loads(said.splitlines()[-1])
    assert len(versions) >= 2, "of the server, and of who asks"
    assert {*versions} <= {"TLSv1.2", "TLSv1.3"}
    uri = stack.kubectl("exec", SERVER, "--", "printenv", "MLFLOW_AUTH_DATABASE_URI")
    assert uri.strip().endswith(VERIFIED.replace("?", "&"))


def test_backups_of_a_database_by_tls_go_to_a_bucket(
    stack: Stack, machine: clients.Machine, servers: Outside
) -> None:
    backups.assert_backups_are_good(stack, machine)
    place = servers.objects / "team" / "backups"
    names = [file.name for file in place.rglob("*")]
    assert len(names) > 10
    assert not [name for name in names if name in ("databases", "artifacts", "runs.dump")]


@pytest.mark.parametrize(
    ("options", "host", "said"),
    [
        (f"?ssl_ca={CA}", ADDRESS, "MLflow may make, use and drop tables there"),
        (
            "",
            ADDRESS,
            f"does not ask for .* databaseCa: expected ssl_ca={CA} among its",
        ),
        (f"?ssl_ca={CA}", "not-its.example", "refuses: .*certificate verify failed: Hostname mism"),
        (f"?ssl_ca={CA}&ssl_check_hostname=false", "not-its.example", "MLflow may make, use and"),
    ],
)
def test_mysqls_certificate_and_name_are_checked(
    stack: Stack, servers: Outside, options: str, host: str, said: str
) -> None:
    answer = stack.kubectl.python(
        SERVER,
        POD_SCRIPTS / "check_mysql.py",
        MLFLOW_BACKEND_STORE_URI=f"{servers.mysql_uri(host)}{options}",
        DATABASE_CA=CA,
        # The pod's DNS does not know the name, which the certificate does not have.
        KNOWN_AS=json.dumps([host, ADDRESS]),
        TIMEOUT_SECONDS="15",
        CONNECTIONS="9",
    )
    assert re.search(said, answer), answer


@pytest.fixture(scope="module")
def model(stack: Stack, environment: dict[str, str]) -> Iterator[str]:
    """A model server in another namespace of the cluster: its address."""
    kubectl = Kubectl(environment, MODELS)
    (container,) = stack.kubectl.pod("mlflow")["spec"]["containers"]
    taken = {key: container[key] for key in ("image", "imagePullPolicy")}
    named = {"name": "model", "labels": {"app": "model"}}
    probe = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    served = {"name": "model", "command": ["python", "-c", IN_A_POD], "readinessProbe": probe}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": named}
    spec = {"containers": [served | taken], "terminationGracePeriodSeconds": 0}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": named}
    ports = {"selector": named["labels"], "ports": [{"port": 8000}]}
    kubectl("delete", "namespace", MODELS, "--ignore-not-found")
    try:
        kubectl("create", "namespace", MODELS)
        items = [pod | {"spec": spec}, service | {"spec": ports}]
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        kubectl("apply", "--filename=-", stdin=json.dumps(listed))
        kubectl("wait", "pod/model", "--for=condition=Ready", "--timeout=60s", seconds=70)
        yield f"http://model.{MODELS}.svc:8000/v1"
    finally:
        kubectl("delete", "namespace", MODELS, "--ignore-not-found")


def test_what_egress_opens_is_called_and_the_rest_is_told(
    stack: Stack, receivers: dict[str, Receiver], model: str
) -> None:
    closed = f"https://{ADDRESS}:{CLOSED}"
    login = {
        key: value for key, value in stack.client_env().items() if key.startswith("MLFLOW_TRACKING")
    }
    said = stack.kubectl.python(
        SERVER,
        POD_SCRIPTS / "call_out.py",
        **login,
        WEBHOOKS=json.dumps(
            {
                "by TLS": f"https://{ADDRESS}:{receivers['tls'].port}/hook",
                "by proxy": "http://hooks.example/hook",
                "at a closed port": f"{closed}/hook",
                "of the store": "http://198.18.0.1:9000/hook",
                "of the pod": "http://127.0.0.1:5000/hook",
            }
        ),
        MODELS=json.dumps(
            {
                "in the cluster": model,
                "model by proxy": "http://models.example/v1",
                "model at a closed port": f"{closed}/v1",
            }
        ),
        seconds=180,
    )
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    print(json.dumps(found, indent=1))
    works = ("by TLS", "by proxy", "in the cluster", "model by proxy")
    assert {name: found[name]["status"] for name in works} == dict.fromkeys(works, 200)
    ((_, headers),) = receivers["tls"].asked
    assert headers["X-MLflow-Signature"].startswith("v1,")
    asked = [url for url, _ in receivers["proxy"].asked]
    assert asked == ["http://hooks.example/hook", "http://models.example/v1/chat/completions"]
    for name in ("at a closed port", "model at a closed port"):
        assert found[name]["status"] != 200, name
        assert found[name]["seconds"] < 20, name
    for name in ("of the store", "of the pod"):
        assert "no setting of mlflow:egress opens a way" in found[name]["said"], name


def wrong_passwords(stack: Stack, servers: Outside) -> list[str]:
    stack.set_secret(databaseUri=servers.uri(password=WRONG), s3SecretAccessKey=WRONG)
    return [
        f"error: the database at {ADDRESS}:{servers.database_port} refuses: .*"
        'password authentication failed for user "mlflow"',
        f"error: cannot list bucket {BUCKET} at {servers.endpoint()}: SignatureDoesNotMatch: ",
    ]


def nobody_there(stack: Stack, servers: Outside) -> list[str]:
    stack.set(s3Endpoint=servers.endpoint(CLOSED))
    address = f"{ADDRESS}:{servers.silent_port}"
    silent = f"mysql+pymysql://mlflow:{WRONG}@{address}/mlflow"
    stack.set_secret(databaseUri=silent, s3SecretAccessKey=servers.key)
    return [
        # It takes connections, and then says nothing, which this driver would wait for.
        f"error: the database at {address} did not answer within 20 s",
        f"error: bucket {BUCKET} at {servers.endpoint(CLOSED)} did not answer within 15 s",
    ]


def missing_rights(stack: Stack, servers: Outside) -> list[str]:
    stack.kubectl.python(SERVER, POD_SCRIPTS / "make_reader.py", READER_KEY=servers.key)
    stack.set(s3Endpoint=servers.endpoint(), s3AccessKeyId="reader")
    # The second database is tried as the first one is.
    stack.set_secret(databaseUri=servers.uri(), authDatabaseUri=servers.uri("reader", name="users"))
    return [
        f"error: the database at {ADDRESS}:{servers.database_port} does not let MLflow's "
        "user create tables: permission denied for schema public",
        f"error: cannot write to bucket {BUCKET} at {servers.endpoint()}: AccessDenied: ",
    ]


def wrong_places(stack: Stack, servers: Outside) -> list[str]:
    stack.set(s3AccessKeyId="mlflow", s3Bucket="not-made")
    stack.set_secret(databaseUri=servers.uri(name="old"), authDatabaseUri=servers.uri(name="users"))
    return [
        f"error: the database at {ADDRESS}:{servers.database_port} does not let MLflow's "
        r"user keep any letter \(its encoding must be UTF-8",
        f"error: cannot list bucket not-made at {servers.endpoint()}: NoSuchBucket: ",
    ]


def missing_secrets(stack: Stack, servers: Outside) -> list[str]:
    stack.set(
        s3Bucket=BUCKET,
        s3AccessKeyId="",
        databaseSecret="not-there",
        s3Secret="neither-there",
    )
    for key in ("databaseUri", "authDatabaseUri", "s3SecretAccessKey"):
        stack.pulumi("config", "rm", "--stack", "minikube", key)
    return [
        "error: MLFLOW_BACKEND_STORE_URI is not set: there is no such key in Secret not-there",
        f"error: cannot list bucket {BUCKET} at {servers.endpoint()}: there is no key, "
        "neither in Secret s3-check and neither-there",
    ]


def wrong_authorities(stack: Stack, servers: Outside) -> list[str]:
    stack.set(s3Bucket=BUCKET)
    stack.set_secret(databaseUri=servers.uri(), databaseCa=servers.ca, s3Ca=servers.database_ca)
    return [
        f"error: the database at {ADDRESS}:{servers.database_port} refuses: .*"
        "certificate verify failed",
        f"error: cannot list bucket {BUCKET} at {servers.endpoint()}: SSL validation",
    ]


@pytest.mark.parametrize(
    "mistake",
    [
        *(wrong_passwords, nobody_there, missing_rights, wrong_places, wrong_authorities),
        missing_secrets,
    ],
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
    # A check is bounded by 15 s (components/_kubernetes/preflight.py); the machine takes the rest.
    assert took < 180
    assert untouched(stack) == kept
    chosen = {"wrong": WRONG, "password": servers.password, "key": servers.key}
    for place, text in secret_search.elsewhere(stack).items():
        assert secret_search.found_in(text, chosen) == [], place
    assert "Traceback" not in said


def test_an_address_without_a_port_is_refused_without_showing_it(stack: Stack) -> None:
    stack.set_secret(databaseUri=f"mysql+pymysql://mlflow:{WRONG}@{ADDRESS}/mlflow")
    said = stack.change("preview", check=False)
    lines = {line.partition("error: ")[2] for line in said.splitlines() if "databaseUri" in line}
    assert len(lines) == 1, said
    assert "it has no port" in lines.pop()
    assert WRONG not in said


def test_secrets_of_somebody_else_are_used_and_left(
    stack: Stack, machine: clients.Machine, servers: Outside
) -> None:
    kubectl = stack.kubectl
    theirs = {
        "their-database": {
            "MLFLOW_BACKEND_STORE_URI": f"{servers.uri()}{VERIFIED}",
            "MLFLOW_AUTH_DATABASE_URI": f"{servers.uri(name='users')}{VERIFIED}",
        },
        "their-key": {"AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": servers.key},
    }
    for name, content in theirs.items():
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        kubectl("apply", "--filename=-", stdin=json.dumps({**secret, "stringData": content}))
    stack.set(databaseSecret="their-database", s3Secret="their-key")
    stack.set_secret(databaseCa=servers.database_ca, s3Ca=servers.ca)
    for key in ("databaseUri", "authDatabaseUri"):
        stack.pulumi("config", "rm", "--stack", "minikube", key)
    stack.change("up")
    report = machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}
    stack.change("preview", "--expect-no-changes")
    names = {secret["metadata"]["name"] for secret in kubectl.items("secrets")}
    assert names == {
        *theirs,
        "backup-target",
        "backup-target-files",
        "external-database-check-files",
        "external-database-credentials-files",
        "mlflow-egress",
        "mlflow-egress-files",
        "mlflow-keys",
        "mlflow-users",
        "s3-check",
        "s3-check-files",
        "s3-credentials",
        "s3-credentials-files",
    }


def test_secrets_are_kept(stack: Stack, servers: Outside) -> None:
    secret_search.assert_kept(
        stack, database_password=servers.password, bucket_key=servers.key, wrong_password=WRONG
    )


def test_destroy_leaves_everything_there(stack: Stack, servers: Outside) -> None:
    kept = sorted(servers.objects.rglob("*"))
    stack.change("destroy")
    assert sorted(servers.objects.rglob("*")) == kept != []
