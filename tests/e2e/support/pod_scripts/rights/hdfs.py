"""In the server's pod: what its user can do in HDFS, and what it cannot; prints it as JSON."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from hdfs_native import Client, WriteOptions

url = urlsplit(os.environ["MLFLOW_ARTIFACTS_DESTINATION"])
own = url.path


def client(user: str) -> Client:
    """Return a client who says to be a user; it reads that when it connects."""
    os.environ["HADOOP_USER_NAME"] = user
    made = Client(f"{url.scheme}://{url.netloc}")
    made.get_file_info("/")
    return made


def outcome(call: Callable[[], object]) -> str:
    """Return how a call ended: well, or with the class of HDFS's refusal and its words."""
    try:
        call()
    except Exception as error:
        return str(error).partition("\\n")[0]
    return "done"


def write(client: Client, path: str) -> None:
    """Write a file."""
    with client.create(path, WriteOptions(overwrite=True)) as file:
        file.write(b"a")


mine, superuser = client(os.environ["HADOOP_USER_NAME"]), client(os.environ.pop("SUPERUSER"))
superuser.mkdirs("/others")
write(superuser, "/others/a")
superuser.set_permission("/others/a", 0o600)
# In this order: one makes what the next uses.
MAY: dict[str, Callable[[], object]] = {
    "write": partial(write, mine, f"{own}/rights"),
    "read": partial(mine.read, f"{own}/rights"),
    "list": lambda: list(mine.list_status(own)),
    "rename": partial(mine.rename, f"{own}/rights", f"{own}/more"),
    "delete": partial(mine.delete, f"{own}/more"),
}
MAY_NOT: dict[str, Callable[[], object]] = {
    "make a folder beside its own": partial(mine.mkdirs, "/more"),
    "write a file beside its folder": partial(write, mine, "/more"),
    "make a folder in another's": partial(mine.mkdirs, "/others/more"),
    "write a file in another's": partial(write, mine, "/others/more"),
    "read another's file": partial(mine.read, "/others/a"),
    "write over another's file": partial(write, mine, "/others/a"),
    "delete another's file": partial(mine.delete, "/others/a"),
    "rename another's file": partial(mine.rename, "/others/a", "/others/b"),
    "take another's file into its own folder": partial(mine.rename, "/others/a", f"{own}/a"),
    "own another's file": partial(mine.set_owner, "/others/a", "mlflow"),
    "open another's file to itself": partial(mine.set_permission, "/others/a", 0o777),
    "change the times of another's file": partial(mine.set_times, "/others/a", 1, 1),
    "have another's file kept more often": partial(mine.set_replication, "/others/a", 2),
    "delete another's folder": partial(mine.delete, "/others", recursive=True),
    "delete its own folder": partial(mine.delete, own, recursive=True),
    "move its own folder": partial(mine.rename, own, "/more"),
    "give its own folder away": partial(mine.set_owner, own, "hadoop"),
    "open the root to everybody": partial(mine.set_permission, "/", 0o777),
}
try:
    said = {what: outcome(call) for what, call in MAY_NOT.items()}
    print(json.dumps({"may": {what: outcome(call) for what, call in MAY.items()}, "may not": said}))
finally:
    for path in ("/others", "/more"):
        with suppress(Exception):
            superuser.delete(path, recursive=True)
