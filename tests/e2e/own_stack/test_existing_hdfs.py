"""An HDFS outside the stack, whose nodes DNS does not know: used, refused in one line, left.

It is this machine's own, so that the module runs where the cluster is the lab.
"""

import json
import time
from collections.abc import Iterator

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.lab_cluster import LabCluster
from harness import clients
from harness.kubectl import restarts
from harness.stack import Stack
from tests.e2e.support import external_hdfs
from tests.e2e.support.external_hdfs import DATA_NODE, NAME_NODE, OutsideHdfs
from tests.e2e.support.external_servers import ADDRESS
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.training_job import MEDIUM, SMALL, assert_all_came_back, job

pytestmark = pytest.mark.long

NAMESPACE = "mlflow-e2e-existing-hdfs"


@pytest.fixture(scope="module")
def hdfs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideHdfs]:
    if not isinstance(cluster, LabCluster):
        pytest.skip("the cluster's pods may not reach this machine")
    images.provide(cluster, stacks.settings("minikube", artifactStore="hdfs"))
    with external_hdfs.running(tmp_path_factory.mktemp("hdfs")) as hdfs:
        yield hdfs


@pytest.fixture(scope="module")
def stack(
    cluster: Cluster,
    hdfs: OutsideHdfs,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    with temporary_stack(cluster, tmp_path_factory.mktemp("stack"), NAMESPACE) as stack:
        stack.set(
            artifactStore="existing-hdfs",
            hdfsUri=hdfs.uri,
            hdfsUser=external_hdfs.OWNER,
            # DataNodes are asked for by name, and nobody but these pods knows the names.
            hdfsConfiguration=json.dumps({"dfs.client.use.datanode.hostname": "true"}),
            hdfsHostAliases=json.dumps({ADDRESS: [NAME_NODE, DATA_NODE]}),
        )
        stack.change("up")
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


def test_client_does_all_its_work(
    stack: Stack, machine: clients.Machine, hdfs: OutsideHdfs
) -> None:
    stack.change("preview", "--expect-no-changes")
    assert stack.outputs()["artifact_root"] == hdfs.uri
    report = job(machine, "hdfs", stack.client_env(), SMALL, MEDIUM)
    print(report["artifacts"])
    assert_all_came_back(report, SMALL, MEDIUM)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"hdfsUser": "stranger"},
            "error: stranger cannot use {uri}: Cannot store {uri}/.mlflow-kubernetes-probe: "
            "Permission denied: user=stranger, access=WRITE",
        ),
        (
            {"hdfsUri": f"hdfs://{NAME_NODE}:9/ml/flow"},
            f"error: hdfs://{NAME_NODE}:9/ml/flow did not answer within 15 s: ",
        ),
    ],
    ids=["a user without rights", "a closed port"],
)
def test_what_cannot_be_used_is_told_in_a_line_and_the_server_stays(
    stack: Stack, hdfs: OutsideHdfs, changed: dict[str, str], line: str
) -> None:
    server = stack.kubectl.pod("mlflow")["metadata"]["uid"]
    stack.set(**changed)
    try:
        start = time.monotonic()
        said = stack.change("up", check=False)
        seconds = time.monotonic() - start
    finally:
        stack.set(hdfsUri=hdfs.uri, hdfsUser=external_hdfs.OWNER)
    assert line.format(uri=hdfs.uri) in said
    assert "Traceback" not in said
    # A check is bounded by 15 s (components/_kubernetes/preflight.py); the machine takes the rest.
    assert seconds < 180, "a mistake is told while its maker still looks"
    pod = stack.kubectl.pod("mlflow")
    assert (pod["metadata"]["uid"], restarts(pod)) == (server, 0)
    stack.change("up")
