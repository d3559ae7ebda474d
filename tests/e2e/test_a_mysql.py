"""The same stack on MySQL, by one setting: the client's work, healing, a migration cut short."""

import json
from collections.abc import Iterator

import pytest

from commands import images
from commands import stack as stacks
from commands.cluster import Cluster
from tests.e2e import places
from tests.e2e.databases import MYSQL
from tests.e2e.kubectl import Kubectl, Object, inventory, restarts, wait_for_nothing_more_than
from tests.e2e.stack import Stack
from tests.e2e.test_3_client import MEDIUM, SMALL, assert_all_came_back, job
from tests.e2e.test_5_traps import INSIDE, SERVER
from tests.e2e.test_6_healing import Logger, delete_pod
from tests.e2e.waiting import wait_until

NAMESPACE = "mlflow-e2e-mysql"


@pytest.fixture(scope="module")
def before(environment: dict[str, str]) -> set[Object]:
    """Everything that the cluster held before this stack was made."""
    kubectl = Kubectl(environment, NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=180)
    return inventory(kubectl)


@pytest.fixture(scope="module")
def stack(
    cluster: Cluster,
    before: set[Object],  # noqa: ARG001 (taken before anything is made)
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack that is told apart from any other by its names and one setting."""
    images.provide(cluster, stacks.settings("minikube") | {"backendStore": MYSQL.name})
    folder = tmp_path_factory.mktemp("mysql")
    stack = Stack.create(folder, cluster.environment, NAMESPACE, MYSQL)
    try:
        stack.change("up")
        yield stack
    finally:
        stack.change("destroy")


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> places.Machine:
    places.make_virtual_environment()
    return places.Machine(tmp_path_factory.mktemp("home"), stack.outputs()["hosts_line"])


def test_there_is_nothing_more_to_do_and_nothing_was_restarted(stack: Stack) -> None:
    stack.change("preview", "--expect-no-changes")
    assert [restarts(pod) for pod in stack.kubectl.items("pods")] == [0] * 5


def test_client_does_all_its_work(stack: Stack, machine: places.Machine) -> None:
    uri = stack.outputs()["client_env"]["MLFLOW_TRACKING_URI"]
    report = job(machine, "mysql", uri, SMALL, MEDIUM)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM)


def test_names_are_equal_only_where_every_letter_is(stack: Stack) -> None:
    said = json.loads(stack.kubectl.python(SERVER, INSIDE / "log_like_names.py"))
    assert said == {
        "name": "🚀 äöü",
        "params": {"lr": "lr 🚀", "LR": "LR 🚀", "loss": "loss 🚀"},
        "metrics": {"lr": 0, "LR": 1, "loss": 2},
        "tags": True,
        "searched": [1, 0, 0, 1],
    }


def test_nothing_acknowledged_is_lost_with_the_database(
    stack: Stack, machine: places.Machine
) -> None:
    process = machine.start("log_until_told.py", tracking_uri=stack.outputs()["tracking_uri"])
    try:
        logger = Logger(process)
        logger.logs_again()
        delete_pod(stack.kubectl, MYSQL.name)
        wait_until(lambda: stack.kubectl.is_ready(MYSQL.name), 120, "MySQL is ready again")
        logger.logs_again()
        report = json.loads(logger.finish())
    finally:
        process.kill()
        process.wait()
    print(report)
    assert report["lost"] == {"metric": [], "param": [], "artifact": []}
    stack.change("preview", "--expect-no-changes")


def test_first_migration_that_was_killed_is_recovered_unless_there_is_data(stack: Stack) -> None:
    with MYSQL.another(stack.kubectl, "half"):
        said = stack.kubectl.python(SERVER, INSIDE / "migrate_cut_short.py", seconds=180)
    report = json.loads(said.splitlines()[-1])
    assert report["killed"]["code"] == -9
    assert "secrets" in report["left"]
    assert report["triggers"] == []

    *_, line = report["refused"]["said"]
    assert report["refused"]["code"] == 1
    assert line.startswith(f"error: cannot migrate the database at mysql.{NAMESPACE}.svc:3306: ")
    assert "Table 'secrets' already exists" in line
    assert "nothing was dropped, for there is data (in experiments)" in line
    assert (report["untouched"], report["kept"]) == (True, 1)

    assert report["recovered"]["code"] == 0
    assert "it holds no data" in "".join(report["recovered"]["said"])
    assert report["equal"]
    for run in ("killed", "refused", "recovered"):
        assert "Traceback" not in "".join(report[run]["said"])
        assert not report[run]["password"]


def test_destroy_leaves_nothing(stack: Stack, before: set[Object]) -> None:
    stack.change("destroy")
    assert stack.resources() == []
    wait_for_nothing_more_than(stack.kubectl, before, 60)
