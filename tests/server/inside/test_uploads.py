"""Uploads to S3: what waits in memory and in /tmp, and how their bytes are protected."""

import asyncio
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from http import HTTPStatus
from pathlib import Path

import mlflow_kubernetes
import pytest
from mlflow_kubernetes.artifacts import streams
from mlflow_kubernetes.artifacts.spool import Spool

MIB = 1024 * 1024
CHUNK = os.urandom(64 * 1024)


class Store(http.server.BaseHTTPRequestHandler):
    """Accepts every object, and notes how it was sent."""

    seen: list[dict[str, str]]

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(HTTPStatus.OK)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def store() -> Iterator[tuple[str, list[dict[str, str]]]]:
    handler = type("Noting", (Store,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.seen
        server.shutdown()


def test_a_body_over_http_has_a_checksum_and_no_second_digest(
    store: tuple[str, list[dict[str, str]]],
) -> None:
    address, seen = store
    program = (
        "from io import BytesIO\n"
        "from mlflow_kubernetes.artifacts.s3 import ProxiedS3ArtifactRepository\n"
        "repository = ProxiedS3ArtifactRepository('s3://bucket/1')\n"
        "repository.log_artifact_from_stream(BytesIO(bytes(1000)), 'model.bin')\n"
    )
    environment = {
        **os.environ,
        "AWS_CONFIG_FILE": str(Path(mlflow_kubernetes.__file__).parents[1] / "aws.ini"),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": address,
    }
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=120, check=True)
    (sent,) = seen
    assert sent["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert sent["x-amz-checksum-crc32"]
    assert sent["authorization"].startswith("AWS4-HMAC-SHA256 ")


async def filled(spool: Spool, size: int) -> bytes:
    """Add chunks, and return all that was added."""
    count = size // len(CHUNK)
    for _ in range(count):
        await spool.add(CHUNK)
    return CHUNK * count


@pytest.mark.parametrize(("size", "on_disk"), [(MIB, False), (3 * MIB, True)])
def test_bytes_that_are_few_wait_in_memory(size: int, on_disk: bool) -> None:
    with closing(Spool(MIB)) as spool:
        content = asyncio.run(filled(spool, size))
        assert (spool._file is not None) == on_disk
        for _ in range(2):
            file = spool.rewound()
            # Senders ask for less than a block, and get a block.
            assert b"".join(iter(partial(file.read, 1000), b"")) == content


def test_what_waits_in_memory_is_less_when_other_transfers_are_under_way() -> None:
    with closing(Spool(16 * MIB)) as spool, ExitStack() as others:
        asyncio.run(filled(spool, 4 * MIB))
        assert spool._file is None
        for _ in range(8):
            others.enter_context(streams.transfer())
        spool.write(CHUNK)
        assert spool._file is not None
        assert spool._waiting.getbuffer().nbytes == 0
        assert spool.rewound().read() == CHUNK * 65
