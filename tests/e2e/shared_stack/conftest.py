"""The stack that all modules of this folder share, and the order in which they use the stack."""

import json
from collections.abc import Iterator

import pytest

from commands.support import cluster as clusters
from commands.support import images
from commands.support import stack as stacks
from harness import clients
from harness.backend_stores import DATABASES, Database
from harness.kubectl import Kubectl, Object, inventory
from harness.stack import Stack
from tests.e2e.support.this_machine import machine_of

NAMESPACE = "mlflow-e2e"


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
    stack.set(clientNamespaces=json.dumps([clients.NAMESPACE]))
    try:
        # In full, so that what is shown can be searched for secrets.
        stack.change("up", "--diff")
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="session")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))
