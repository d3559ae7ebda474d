"""Known problems of MLflow on Kubernetes, which this stack does not have."""

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.kubectl import ready, restarts
from harness.programs import ProgramError
from harness.stack import Stack, basic_login
from harness.waiting import wait_until
from tests.e2e.support import backend_rights
from tests.e2e.support.jobs import assert_succeeds, repeated
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER


@dataclass(frozen=True)
class Direct:
    """The server, without an ingress in between."""

    port: int
    login: str

    def ask(self, host: str, *, method: str = "GET", origin: str = "") -> int:
        """Return the status of an API call made under a Host header, and from a page's origin."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        call = "search?max_results=1" if method == "GET" else "create"
        headers = {"Host": host, "Authorization": self.login, "Content-Type": "application/json"}
        headers |= {"Origin": origin} if origin else {}
        connection.request(method, f"/api/2.0/mlflow/experiments/{call}", "{}", headers)
        return connection.getresponse().status


@pytest.fixture(scope="module")
def direct(stack: Stack) -> Iterator[Direct]:
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        yield Direct(port, basic_login(stack.client_env()))


@pytest.mark.parametrize(
    "host",
    [
        "{namespace}-server.local",
        "{namespace}-server.local:8080",
        "mlflow",
        "mlflow:5000",
        "mlflow.{namespace}:5000",
        "mlflow.{namespace}.svc",
        "mlflow.{namespace}.svc:5000",
        "mlflow.{namespace}.svc.cluster.local:5000",
        "localhost:{port}",
        "127.0.0.1:{port}",
        "10.244.0.7:5000",  # a pod's address, as Prometheus uses it
        "192.168.49.2:31234",  # a NodePort of minikube
    ],
)
def test_server_answers_to_its_own_names(stack: Stack, direct: Direct, host: str) -> None:
    assert direct.ask(host.format(namespace=stack.namespace, port=direct.port)) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "{namespace}-server.local.evil.example", "mlflow.evil"],
)
def test_server_refuses_a_forged_name(stack: Stack, direct: Direct, host: str) -> None:
    assert direct.ask(host.format(namespace=stack.namespace)) == 403


def test_server_refuses_changes_from_a_foreign_page(stack: Stack, direct: Direct) -> None:
    own = f"{stack.namespace}-server.local"
    assert direct.ask(own, method="POST", origin="http://evil.example") == 403
    assert direct.ask(own, method="POST", origin=f"http://{own}") == 400, "no name was given"


def test_service_called_mlflow_does_not_reach_the_servers_environment(stack: Stack) -> None:
    # Kubernetes would set MLFLOW_PORT=tcp://..., which the server reads as its --port.
    stack.kubectl("get", "service", "mlflow")
    names = {
        line.partition("=")[0] for line in stack.kubectl("exec", SERVER, "--", "env").splitlines()
    }
    assert "MLFLOW_BACKEND_STORE_URI" in names
    assert not {name for name in names if name.startswith(("MLFLOW_PORT", "MLFLOW_SERVICE"))}


def test_the_migration_alone_holds_a_token_of_the_cluster(stack: Stack) -> None:
    holders = {}
    for pod in stack.kubectl.items("pods"):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        tokens = {volume["name"] for volume in spec.get("volumes", []) if "projected" in volume}
        holding = [
            container["name"]
            for container in [*spec.get("initContainers", []), *spec["containers"]]
            if tokens & {mount["name"] for mount in container.get("volumeMounts", [])}
        ]
        if tokens:
            holders[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = holding
    # The containers of the database's own image and of rclone hold none.
    assert holders == {"migration": ["plan", "keep", "job"]}
    listing = stack.kubectl("exec", SERVER, "--", "ls", "/var/run")
    assert "secrets" not in listing


def test_every_pod_is_restricted(stack: Stack) -> None:
    # The namespace enforces Pod Security's strictest profile, so that being there is the proof.
    labels = stack.kubectl.json("get", "namespace", stack.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in stack.kubectl.items("pods"):
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_pod_that_may_do_more_is_refused(stack: Stack) -> None:
    (template,) = [
        one["spec"]["template"]
        for one in stack.kubectl.items("deployments")
        if one["metadata"]["name"] == "mlflow"
    ]

    def refused(**changed: object) -> str:
        """Return why Kubernetes takes no such pod; nothing is made."""
        (container,) = template["spec"]["containers"]
        own = {key: changed.pop(key) for key in ("securityContext",) if key in changed}
        spec = {**template["spec"], **changed, "containers": [{**container, **own}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}, "spec": spec}
        try:
            stack.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))
        except ProgramError as error:
            return str(error)
        return ""

    assert not refused()
    for change in (
        {"securityContext": {"privileged": True}},
        {"securityContext": {"allowPrivilegeEscalation": True}},
        {"securityContext": {"runAsUser": 0}},
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        {"hostNetwork": True},
        {"hostPID": True},
        {"volumes": [{"name": "tmp", "hostPath": {"path": "/"}}]},
    ):
        assert 'violates PodSecurity "restricted' in refused(**change), change


def test_servers_user_and_key_may_do_what_the_server_needs_and_no_more(stack: Stack) -> None:
    for backend in (stack.database.name, "minio"):
        backend_rights.assert_least(stack, backend)
    backend_rights.assert_holds_no_more(stack)


@pytest.mark.parametrize("job", ["minio-bucket", "mlflow-migration"])
def test_job_can_run_again_on_what_it_made(stack: Stack, job: str) -> None:
    with repeated(stack.kubectl, job):
        assert_succeeds(stack.kubectl, job)


def test_older_database_is_migrated_with_its_content(stack: Stack) -> None:
    with stack.database.another(stack.kubectl, "older"):
        said = stack.kubectl.python(SERVER, POD_SCRIPTS / "migrate_older.py", seconds=180)
    assert json.loads(said.splitlines()[-1]) == {
        "was": "97727af70f4d",
        "equal": True,
        "kept": "kept",
    }


def test_an_upgrade_is_all_or_nothing(stack: Stack) -> None:
    """Attempts that end in each way; the API server beside them is one of the script's own."""
    if stack.database.name != "postgres":
        pytest.skip("MySQL undoes no changed table: a dump is restored (test_failed_upgrade.py)")
    another = stack.database.another
    with another(stack.kubectl, "older_runs"), another(stack.kubectl, "older_users"):
        script = POD_SCRIPTS / "upgrade_attempts.py"
        seen = json.loads(stack.kubectl.python(SERVER, script, seconds=180).splitlines()[-1])
    ended = {name: one["status"] for name, one in seen.items() if isinstance(one, dict)}
    assert ended == {
        "busy": 1,
        "the next pod": 1,
        "broken": 1,
        "killed": -9,
        "after the kill": 1,
        "stopped": 1,
        "upgraded": 0,
        "again": 0,
    }
    was = {"runs": "97727af70f4d", "users": "8606fa83a998"}
    for name in ("busy", "broken", "after the kill", "stopped"):
        assert seen[name]["revisions"] == was
        assert seen[name]["replicas"] == 2
        assert "2 servers of the former version run again" in seen[name]["said"][-1]
        assert not seen[name]["password"]
    assert "a-notebook) stays connected" in seen["busy"]["said"][-1]
    # It says the same, and does nothing.
    assert seen["the next pod"]["said"] == seen["busy"]["said"][-1:]
    assert seen["the next pod"]["asked"] == []
    assert not {*seen["upgraded"]["revisions"].values()} & {*was.values()}
    # The update of the Deployment starts the new servers.
    assert seen["upgraded"]["replicas"] == 0
    assert seen["again"]["asked"] == []
    assert seen["experiments"] == "kept"
    assert {"admin", "kept"} <= {*seen["users"]}


def test_dead_database_makes_the_server_unready_and_restarts_nothing(stack: Stack) -> None:
    kubectl = stack.kubectl
    server = kubectl.pod("mlflow")
    kubectl("scale", "statefulset", stack.database.name, "--replicas=0")
    try:
        wait_until(lambda: not kubectl.is_ready("mlflow"), 60, "the server is not ready")
        # Longer than the liveness probe would take to end it.
        patience = time.monotonic() + 75
        while time.monotonic() < patience:
            now = kubectl.pod("mlflow")
            assert not ready(now)
            assert restarts(now) == restarts(server)
            time.sleep(5)
    finally:
        kubectl("scale", "statefulset", stack.database.name, "--replicas=1")
    wait_until(lambda: kubectl.is_ready("mlflow"), 90, "the server is ready again")
    now = kubectl.pod("mlflow")
    assert now["metadata"]["uid"] == server["metadata"]["uid"]
    assert restarts(now) == restarts(server)
