"""Make the artifacts' folder in HDFS, where that is ours to do, and prove that its user may use it.

All of it can be done again: a second run changes nothing, or repairs what is missing.
"""

import os
import posixpath
from urllib.parse import urlsplit

from hdfs_native import Client, WriteOptions

from mlflow_kubernetes._environment import fail, one_line, required, wait

_PROBE = ".mlflow-kubernetes-probe"
# A NameNode that says one of these is up, and will say it again.
_FINAL = ("AccessControlException", "Permission denied", "is not a directory", "NSQuotaExceeded")


def main() -> None:
    """Provision as soon as the NameNode answers, and is out of safe mode."""
    root = required("MLFLOW_ARTIFACTS_DESTINATION")
    user = required("HADOOP_USER_NAME")
    folder = urlsplit(root).path
    if not root.startswith(("hdfs://", "viewfs://")) or folder.strip("/") == "":
        fail(f"MLFLOW_ARTIFACTS_DESTINATION is {root!r}: expected hdfs://<host>:<port>/<folder>")
    wait(root, lambda: _problem(root, folder, user))
    print(f"{root}: there, and {user} reads and writes it")


def _problem(root: str, folder: str, user: str) -> str | None:
    """Provision, and return what may pass with time; what will not ends the job."""
    url = root.removesuffix(folder)
    try:
        if superuser := os.environ.get("HDFS_SUPERUSER"):
            _make(_client(url, superuser), folder, user)
        client = _client(url, user)
        client.mkdirs(folder, create_parent=True)
        _prove(client, folder)
    except (OSError, RuntimeError, ValueError) as error:
        reason = one_line(error)
        if any(phrase in reason for phrase in _FINAL):
            fail(f"{user} cannot use {root}: {reason}")
        return reason
    return None


def _client(url: str, user: str) -> Client:
    # The only way to say who one is; the client reads it when it is made.
    os.environ["HADOOP_USER_NAME"] = user
    return Client(url)


def _make(client: Client, folder: str, user: str) -> None:
    client.mkdirs(folder, create_parent=True)
    client.set_owner(folder, user, user)
    client.set_permission(folder, 0o750)


def _prove(client: Client, folder: str) -> None:
    content = os.urandom(16)
    aside, probe = posixpath.join(folder, f"{_PROBE}.new"), posixpath.join(folder, _PROBE)
    with client.create(aside, WriteOptions(overwrite=True)) as file:
        file.write(content)
    client.rename(aside, probe, overwrite=True)
    with client.read(probe) as file:
        if file.read() != content:
            raise ValueError("the store gave back something else than was stored")
    client.delete(probe)


if __name__ == "__main__":
    main()
