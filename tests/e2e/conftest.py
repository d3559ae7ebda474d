"""One stack for the whole run: made on a cluster that is found as `make up` finds one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import cluster as clusters
from commands import images
from commands import stack as stacks
from tests.e2e import places
from tests.e2e.databases import DATABASES, POSTGRES, Database
from tests.e2e.kubectl import Kubectl, Object, inventory
from tests.e2e.stack import Stack

NAMESPACE = "mlflow-e2e"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend-store", default=POSTGRES.name, choices=DATABASES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def kubectl(environment: dict[str, str]) -> Kubectl:
    return Kubectl(environment, NAMESPACE)


@pytest.fixture(scope="session")
def before(kubectl: Kubectl) -> set[Object]:
    """Everything that the cluster held before the stack was made."""
    # A run that was killed may have left its namespace.
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=180)
    return inventory(kubectl)


@pytest.fixture(scope="session")
def database(pytestconfig: pytest.Config) -> Database:
    """The backend store that the run was asked to test."""
    return DATABASES[pytestconfig.getoption("--backend-store")]


@pytest.fixture(scope="session")
def stack(
    cluster: clusters.Cluster,
    before: set[Object],  # noqa: ARG001 (taken before anything is made)
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack that is up."""
    images.provide(cluster, stacks.settings("minikube", backendStore=database.name))
    folder = tmp_path_factory.mktemp("stack")
    stack = Stack.create(folder, cluster.environment, NAMESPACE, database)
    stack.set(clientNamespaces=json.dumps([places.NAMESPACE]))
    try:
        # In full, so that what is shown can be searched for secrets.
        stack.change("up", "--diff")
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="session")
def hosts(stack: Stack) -> str:
    """The line that the stack tells its user to put in the hosts file."""
    line: str = stack.outputs()["hosts_line"]
    return line


@pytest.fixture(scope="session")
def machine(hosts: str, tmp_path_factory: pytest.TempPathFactory) -> places.Machine:
    places.make_virtual_environment()
    return places.Machine(tmp_path_factory.mktemp("home"), hosts)
