"""An HDFS for all tests, and a repository in a folder of its own for each."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import mlflow  # noqa: F401 (it imports the repository, which cannot be imported first)
import pytest
from cluster import Hdfs
from hdfs_native import Client
from mlflow_kubernetes.artifacts.hdfs import HdfsArtifactRepository


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    running = Hdfs(Path(os.environ["HADOOP_ROOT"]), tmp_path_factory.mktemp("hdfs"))
    try:
        running.start()
        running.run("dfs", "-mkdir", "/artifacts")
        running.run("dfs", "-chown", "mlflow", "/artifacts")
        yield running
    finally:
        running.stop()


@pytest.fixture
def repository(hdfs: Hdfs) -> HdfsArtifactRepository:
    return HdfsArtifactRepository(f"{hdfs.url}/artifacts/{uuid.uuid4().hex}")


@pytest.fixture
def look(repository: HdfsArtifactRepository) -> "Look":
    return Look(repository)


class Look:
    """What is there, past the repository: hidden names too."""

    def __init__(self, repository: HdfsArtifactRepository) -> None:
        server, _, root = repository.artifact_uri.partition("/artifacts")
        self._client, self._root = Client(server), f"/artifacts{root}"

    def names(self, path: str = "") -> list[str]:
        try:
            found = list(self._client.list_status(f"{self._root}/{path}".rstrip("/")))
        except FileNotFoundError:
            return []
        return sorted(entry.path.rpartition("/")[2] for entry in found)

    def content(self, path: str) -> bytes:
        return bytes(self._client.read(f"{self._root}/{path}").read())
