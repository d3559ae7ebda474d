"""SeaweedFS beside the lab: an S3 server that is maintained, where MinIO's artifacts can go."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.programs import ENDS_WITH_US
from harness.waiting import wait_until
from lab import tools
from tests.e2e.support.external_servers import ADDRESS, free_port, listens

BUCKET = "mlflow"
KEY_ID = "mlflow"


@dataclass(frozen=True)
class SeaweedFS:
    """A server with an empty bucket."""

    port: int
    key: str
    """The secret of the access key ``KEY_ID``."""

    @property
    def endpoint(self) -> str:
        """The address of the store."""
        return f"http://{ADDRESS}:{self.port}"


@contextmanager
def running(folder: Path) -> Iterator[SeaweedFS]:
    """Have the server run while the block runs, with its data in a new folder."""
    tools.build("seaweedfs")
    server = SeaweedFS(free_port(), f'{secrets.token_hex(16)}/@:%+"')
    login = {"accessKey": KEY_ID, "secretKey": server.key}
    may = {"name": KEY_ID, "credentials": [login], "actions": ["Admin"]}
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": [may]}))
    parts = ("master", "volume", "filer", "s3")
    ports = {part: server.port if part == "s3" else free_port() for part in parts}
    # By default 10000 more than the port, which may be no port.
    inner = {part: free_port() for part in parts}
    command = [
        *(*ENDS_WITH_US, str(tools.program("seaweedfs")), "server", f"-ip={ADDRESS}"),
        *(f"-dir={data}", "-master.volumeSizeLimitMB=1024"),
        *(f"-{part}.port={port}" for part, port in ports.items()),
        *(f"-{part}.port.grpc={port}" for part, port in inner.items()),
        *("-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(partial(listens, server.port), 60, "SeaweedFS listens")
        _make_bucket(f"{ports['master']}.{inner['master']}")
        yield server
    finally:
        process.kill()
        process.wait()


def _make_bucket(master: str) -> None:
    command = [str(tools.program("seaweedfs")), "shell", f"-master={ADDRESS}:{master}"]
    asked = f"s3.bucket.create -name {BUCKET}\n"
    done = subprocess.run(
        command, input=asked, capture_output=True, text=True, timeout=60, check=True
    )
    assert f"created bucket {BUCKET}" in done.stdout, done.stdout
