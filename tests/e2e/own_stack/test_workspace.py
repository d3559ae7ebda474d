"""The workspace in the cluster: its connections, its login, and a notebook in it."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from commands import up
from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients, pod_processes
from harness.programs import CLONE
from harness.stack import Stack
from harness.waiting import wait_until
from lab import packages
from tests.documents import block
from tests.e2e.support import otlp_exporter, secret_search
from tests.e2e.support.artifact_stores import HDFS
from tests.e2e.support.browser import LATE, look
from tests.e2e.support.interruptions import delete_pod
from tests.e2e.support.server_pod import POD_SCRIPTS
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

NAMESPACE = "mlflow-e2e-workspace"
HOST = f"{NAMESPACE}-lab.local"
TRACKING = f"{NAMESPACE}-server.local/ml/flow"
"""A path of a host whose other paths are for others; pods ask without the path."""
NOTEBOOKS = CLONE / "tests" / "e2e" / "support" / "notebooks"
STORE, REPOSITORY = HDFS, "HdfsArtifactRepository"
CHOSEN = {"artifactStore": STORE.name, "clientWorkspace": "true"}
FIRST = block("README.md, Work in the cluster, 1")
POD = "workspace-0"
READ_HOME = (
    "import kept, pathlib; print(pathlib.Path('~/kept.txt').expanduser().read_text(), kept.WORD)"
)

# Names that MLflow's client would send as other ones.
LOST = ("loss#1", "what?", "a%41.txt", "a%20b")
REFUSE = """
import json, pathlib, sys, tempfile
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
artifacts, said = get_artifact_repository("mlflow-artifacts:/0/r/artifacts"), {}
with tempfile.TemporaryDirectory() as folder:
    for name in sys.argv[1:]:
        file = pathlib.Path(folder, name)
        file.touch()
        try:
            artifacts.log_artifact(str(file))
        except MlflowException as error:
            said[name] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def stack(
    cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack with a workspace."""
    images.provide(cluster, stacks.settings("minikube", **CHOSEN))
    with temporary_stack(cluster, tmp_path_factory.mktemp("workspace"), NAMESPACE) as stack:
        stack.set(workspaceHost=HOST, trackingHost=TRACKING, **CHOSEN)
        stack.change("up")
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


def test_a_name_that_would_be_lost_on_the_way_is_refused_before(stack: Stack) -> None:
    said = stack.kubectl("exec", POD, "--", "python", "-c", REFUSE, *LOST).splitlines()[-1]
    refused = json.loads(said)
    assert sorted(refused) == sorted(LOST)
    assert all(reason.startswith("Invalid path: ") for reason in refused.values())


def work(machine: clients.Machine, script: str, stack: Stack, *arguments: str, **given: Any) -> Any:
    """Run a client's script that is told on its standard input how to reach the workspace."""
    outputs = stack.outputs()
    told = {"url": outputs["workspace_url"], "token": outputs["workspace_token"], **given}
    return machine.run(script, *arguments, client_env={}, seconds=300, stdin=json.dumps(told))


def train(machine: clients.Machine, stack: Stack, experiment: str) -> Any:
    """Execute the notebook, and return what it saw."""
    notebook = json.loads((NOTEBOOKS / "wine.ipynb").read_text())
    parameters = {"EXPERIMENT": experiment}
    report = work(machine, "run_notebook.py", stack, notebook=notebook, parameters=parameters)
    print(report)
    assert report["tracking_uri"] == stack.outputs()["tracking_uri_in_cluster"]
    assert [report[key] for key in report if key.endswith("_equal")] == [True] * 4
    assert report["logged_from"].endswith(".ipynb")
    return report


class Answer(NamedTuple):
    """What a stranger is told."""

    status: int
    location: str | None
    body: bytes


def ask(address: str, method: str, path: str, headers: dict[str, str], port: int = 80) -> Answer:
    """Ask the workspace something."""
    connection = http.client.HTTPConnection(address, port, timeout=30)
    connection.request(method, path, headers={"Host": HOST, **headers})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return Answer(answer.status, answer.headers["Location"], body)


def test_outputs_lead_to_it_and_there_is_nothing_more_to_do(stack: Stack) -> None:
    assert stack.outputs()["workspace_url"] == f"http://{HOST}"
    assert stack.outputs()["hosts_line"].split()[-1] == HOST
    shown = stack.pulumi("stack", "output", "--stack", "minikube", "workspace_token").stdout
    assert shown.strip() == "[secret]"
    stack.change("preview", "--expect-no-changes")


def test_nobody_gets_in_without_the_token(stack: Stack) -> None:
    address = stack.outputs()["hosts_line"].split()[0]
    assert ask(address, "GET", "/lab", {})[:2] == (302, "/login?next=%2Flab")
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "bm8gdG9rZW4gYXQgYWxsIQ==",
        "Sec-WebSocket-Version": "13",
    }
    wrong = {"Authorization": f"token {'x' * 40}"}
    for method, path, headers in (
        ("GET", "/api/kernels", {}),
        ("GET", "/api/contents", wrong),
        ("POST", "/api/kernels", {}),
        ("POST", "/api/kernels", wrong),
        ("GET", "/api/kernels/00000000-0000-0000-0000-000000000000/channels", upgrade),
        ("GET", "/terminals/websocket/1", upgrade),
    ):
        assert ask(address, method, path, headers).status == 403, (method, path)
    right = {"Authorization": f"token {stack.outputs()['workspace_token']}"}
    assert ask(address, "GET", "/api/kernels", right)[::2] == (200, b"[]")


def test_it_answers_to_its_own_names_only(stack: Stack) -> None:
    with stack.kubectl.forwarded("service/workspace", 8888) as port:
        for host, status in (("localhost", 200), (HOST, 200), ("forged.local", 403)):
            assert ask("127.0.0.1", "GET", "/api", {"Host": host}, port).status == status, host


def test_a_notebook_trains_logs_and_reads_back_through_the_proxy(
    stack: Stack, machine: clients.Machine
) -> None:
    report = train(machine, stack, "proxied")
    assert report["artifacts_went_to"].startswith("mlflow-artifacts:/")
    assert report["by"] == "CheckedArtifactsRepository"


def test_readmes_lines_need_nothing_to_be_set_up(stack: Stack, machine: clients.Machine) -> None:
    look = (
        "import json; run = mlflow.get_run(mlflow.active_run().info.run_id)",
        "print(json.dumps([mlflow.get_experiment(run.info.experiment_id).name, run.data.metrics]))",
    )
    empty: dict[str, Any] = {"execution_count": None, "metadata": {}, "outputs": []}
    cells = [{"cell_type": "code", "source": [one], **empty} for one in (FIRST, *look)]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    said = work(machine, "run_notebook.py", stack, notebook=notebook, parameters={})
    assert said == ["workspace", {"hello": 1}]


def test_the_server_is_below_a_path_of_its_host(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    packages.need("chromium", "chromium-driver")
    outputs = stack.outputs()
    uri = outputs["tracking_uri"]
    assert uri == f"http://{TRACKING}"
    up.wait(uri, up.address_in(outputs["hosts_line"]), None, outputs["client_env"])
    report = machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}
    otlp_exporter.assert_spans_arrive(machine, stack.client_env())
    user = stack.client_env()
    seen = look(machine, user, f"{uri}/#/experiments", tmp_path / "page.png", "first", "my-app")
    errors = [one["message"] for one in seen["console"] if one["level"] == "SEVERE"]
    assert [message for message in errors if LATE not in message] == []
    assert "my-app" in seen["text"]


def test_jupyterlab_works_in_a_browser(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    packages.need("chromium", "chromium-driver")
    seen = work(
        machine,
        *("work_in_jupyterlab.py", stack),
        *("--screenshot", str(tmp_path / "jupyterlab.png")),
        cell="import mlflow; print(6 * 7, mlflow.get_experiment_by_name('proxied').name)",
    )
    print(seen)
    assert seen["asked"] == f"http://{HOST}/login?next=%2Flab"
    assert seen["output"] == ["42 proxied"]
    errors = [entry["message"] for entry in seen["console"] if entry["level"] == "SEVERE"]
    assert errors == []


def test_a_home_outlives_its_pod(stack: Stack) -> None:
    stack.kubectl.python(POD, POD_SCRIPTS / "keep_at_home.py")
    delete_pod(stack.kubectl, "workspace")
    wait_until(lambda: stack.kubectl.is_ready("workspace"), 120, "the workspace is ready again")
    said = stack.kubectl("exec", POD, "--", "python", "-c", READ_HOME)
    assert said.split() == ["written", "installed"]


def test_a_notebook_writes_to_the_store_itself_where_a_setting_says_so(
    stack: Stack, machine: clients.Machine
) -> None:
    stack.set(artifactAccess="direct")
    stack.change("up")
    report = train(machine, stack, "direct")
    root = STORE.root.format(namespace=stack.namespace)
    assert report["artifacts_went_to"].startswith(f"{root}/")
    assert report["by"] == REPOSITORY
    said = stack.kubectl("exec", POD, "--", "python", "-c", READ_HOME)
    assert said.split() == ["written", "installed"]


def test_the_token_is_in_no_environment(stack: Stack) -> None:
    token = {"token": stack.outputs()["workspace_token"]}
    assert len(token["token"]) == 40
    inside = pod_processes.visible_of_pod(stack.kubectl.pod("workspace"))
    variables = "".join(pod_processes.environment(process) for process in inside)
    assert "MLFLOW_TRACKING_URI" in variables
    assert secret_search.found_in(variables, token) == []


def test_secrets_are_kept(stack: Stack) -> None:
    assert "Jupyter Server" in secret_search.logs(stack)[POD]
    secret_search.assert_kept(stack)
