"""A whole stack on a MySQL outside the cluster that takes connections by TLS alone."""

from collections.abc import Iterator

import pytest

from commands.support.cluster import Cluster
from harness.stack import Stack
from tests.e2e.support import artifact_names, external_servers
from tests.e2e.support.external_servers import Outside
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.training_job import MEDIUM, SMALL, assert_all_came_back, job

pytestmark = pytest.mark.long

NAMESPACE = "mlflow-e2e-external-mysql"


@pytest.fixture(scope="module")
def servers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with external_servers.running(cluster, tmp_path_factory.mktemp("outside")) as servers:
        yield servers


@pytest.fixture(scope="module")
def stack(
    cluster: Cluster, servers: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with temporary_stack(cluster, tmp_path_factory.mktemp("external"), NAMESPACE) as stack:
        stack.set(
            backendStore="external",
            artifactStore="s3",
            s3Bucket=external_servers.BUCKET,
            s3Endpoint=servers.endpoint(),
            s3AccessKeyId="mlflow",
        )
        stack.set_secret(
            databaseUri=servers.mysql_uri(),
            authDatabaseUri=servers.mysql_uri(name="users"),
            databaseCa=servers.database_ca,
            s3SecretAccessKey=servers.key,
            s3Ca=servers.ca,
        )
        stack.change("up")
        yield stack


def test_client_does_all_its_work(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    stack.change("preview", "--expect-no-changes")
    machine = machine_of(stack, tmp_path_factory.mktemp("home"))
    report = job(machine, "external", stack.client_env(), SMALL, MEDIUM)
    assert_all_came_back(report, SMALL, MEDIUM)
    artifact_names.assert_kept_or_refused(machine, stack.client_env())
