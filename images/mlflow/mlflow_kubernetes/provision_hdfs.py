"""Make the artifacts' folder in HDFS, if the stack owns the HDFS, and prove that it can be used.

A second run changes nothing, or repairs what is missing.
"""

import io
import os
from urllib.parse import urlsplit

from hdfs_native import Client
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE, ErrorCode

from mlflow_kubernetes import contract
from mlflow_kubernetes.artifacts.hdfs import SETTINGS, HdfsArtifactRepository, told
from mlflow_kubernetes.support.environment import fail, required, wait

_PROBE = ".mlflow-kubernetes-probe"


def main() -> None:
    """Provision as soon as the NameNode answers, and is out of safe mode."""
    root = required(contract.ARTIFACTS_DESTINATION)
    user = required(contract.HADOOP_USER)
    folder = urlsplit(root).path
    if not root.startswith(("hdfs://", "viewfs://")) or not folder.strip("/"):
        fail(f"MLFLOW_ARTIFACTS_DESTINATION is {root!r}: expected hdfs://<host>:<port>/<folder>")
    if superuser := os.environ.get(contract.HDFS_SUPERUSER):
        # A client of HDFS reads its user name from this variable alone, when it connects.
        os.environ[contract.HADOOP_USER] = superuser
        client = Client(root.removesuffix(folder), SETTINGS)
        wait(root, lambda: _made(client, folder, user))
        os.environ[contract.HADOOP_USER] = user
    wait(root, lambda: _proved(HdfsArtifactRepository(root), root, user))
    print(f"{root}: there, and {user} reads and writes it")


def _made(client: Client, folder: str, user: str) -> str | None:
    """Make the folder for MLflow's user; return a problem that may pass."""
    try:
        client.mkdirs(folder, create_parent=True)
        client.set_owner(folder, user, user)
        client.set_permission(folder, 0o750)
    except (OSError, RuntimeError) as error:
        return told(error)[1]
    return None


def _proved(repository: HdfsArtifactRepository, root: str, user: str) -> str | None:
    """Use the folder as the server does. Return a problem that may pass; else end the Job."""
    content = os.urandom(16)
    try:
        repository.log_artifact_from_stream(io.BytesIO(content), _PROBE)
        _, chunks = repository.open_artifact(_PROBE)
        back = b"".join(chunks)
        repository.delete_artifacts(_PROBE)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE):
            return error.message
        fail(f"{user} cannot use {root}: {error.message}")
    if back != content:
        fail(f"{root}: it gave back something else than was stored")
    return None


if __name__ == "__main__":
    main()
