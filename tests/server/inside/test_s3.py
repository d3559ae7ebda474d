"""Calls of an S3 store that cannot answer now, does not know, or breaks off what it sends."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path

import mlflow_kubernetes
import pytest
from conftest import MOST_SECONDS

OBJECT = bytes(250_000)
CUT = 100_000


class Store(http.server.BaseHTTPRequestHandler):
    """Notes how an object was sent, and accepts it unless it is called ``refused``.

    To a read of an object, it answers "not found". Asked for the version ``null``, it does not know
    (``doubtful``), has it (``unsure``, ``deleted``), or has it not. It breaks off what it sends of
    ``cut``, and sends nothing more of ``stuck``.
    """

    seen: list[dict[str, str]]

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        refused = self.path.endswith("/refused.bin")
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if refused else HTTPStatus.OK)
        self.end_headers()

    def do_GET(self) -> None:
        name, _, version = self.path.rpartition("/")[2].partition("?")
        if name in ("cut.bin", "stuck.bin"):
            self._break_off(0 if name == "stuck.bin" and "Range" in self.headers else CUT)
        elif version == "versionId=null" and name == "doubtful.bin":
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE)
        elif version == "versionId=null" and name in ("unsure.bin", "deleted.bin"):
            self._answer(HTTPStatus.OK, b"content")
        else:
            marker = {"x-amz-delete-marker": "true"} if name == "deleted.bin" else {}
            self._answer(HTTPStatus.NOT_FOUND, b"<Error><Code>NoSuchKey</Code></Error>", marker)

    def _break_off(self, most: int) -> None:
        """Promise the rest of an object, and send so many bytes of it at most."""
        asked = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        self.seen.append({"range": asked, "if-match": self.headers.get("If-Match", "")})
        rest = OBJECT[int(asked) :]
        self._answer(HTTPStatus.PARTIAL_CONTENT, rest[:most], size=len(rest))

    def _answer(
        self,
        status: HTTPStatus,
        content: bytes = b"",
        headers: Mapping[str, str] = {},
        size: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if size is None else size))
        self.send_header("ETag", '"tag"')
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()
        self.wfile.write(content)

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
    assert upload(address, "model.bin") == ""
    (sent,) = seen
    assert sent["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert sent["x-amz-checksum-crc32"]
    assert sent["authorization"].startswith("AWS4-HMAC-SHA256 ")


def test_a_store_that_cannot_answer_now_is_asked_again_by_clients(
    store: tuple[str, list[dict[str, str]]],
) -> None:
    """MLflow's clients repeat a call after 500 too, but a 500 says that the server is wrong."""
    address, seen = store
    assert upload(address, "refused.bin") == "TEMPORARILY_UNAVAILABLE"
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.bin", "RESOURCE_DOES_NOT_EXIST"),
        ("doubtful.bin", "TEMPORARILY_UNAVAILABLE"),
        ("unsure.bin", "content"),
        ("deleted.bin", "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_a_store_is_asked_again_before_an_artifact_is_said_to_be_missing(
    store: tuple[str, list[dict[str, str]]], name: str, said: str
) -> None:
    read = "print(b''.join(repository.open_artifact(sys.argv[1])[1]).decode())"
    assert told(store[0], name, read) == said


def test_what_the_store_breaks_off_is_asked_for_again(
    store: tuple[str, list[dict[str, str]]],
) -> None:
    """Of the same version, and only as long as anything comes."""
    address, seen = store
    read = "for chunk in repository.open_artifact(sys.argv[1])[1]: print(len(chunk), end=' ')"
    lengths = told(address, "cut.bin", read).split()
    assert sum(map(int, lengths)) == len(OBJECT)
    same = '"tag"'
    assert seen == [
        {"range": "0", "if-match": ""},
        {"range": str(CUT), "if-match": same},
        {"range": str(2 * CUT), "if-match": same},
    ]
    seen.clear()
    *lengths, said = told(address, "stuck.bin", read).split()
    assert (sum(map(int, lengths)), said) == (CUT, "IncompleteReadError")
    assert [one["range"] for one in seen] == ["0", str(CUT)]


def upload(address: str, name: str) -> str:
    """Upload as the server does; return MLflow's code of the error, or nothing."""
    return told(
        address, name, "repository.log_artifact_from_stream(BytesIO(bytes(1000)), sys.argv[1])"
    )


def told(address: str, name: str, call: str) -> str:
    """Call the server's repository; return what the call prints, or MLflow's code of the error."""
    program = (
        "import sys\n"
        "from io import BytesIO\n"
        "from botocore.exceptions import IncompleteReadError\n"
        "from mlflow.exceptions import MlflowException\n"
        "from mlflow_kubernetes.artifacts.s3 import ProxiedS3ArtifactRepository\n"
        "repository = ProxiedS3ArtifactRepository('s3://bucket/1')\n"
        "try:\n"
        f"    {call}\n"
        "except (IncompleteReadError, MlflowException) as error:\n"
        "    print(getattr(error, 'error_code', type(error).__name__))\n"
    )
    environment = {
        **os.environ,
        "AWS_CONFIG_FILE": str(Path(mlflow_kubernetes.__file__).parents[1] / "aws.ini"),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": address,
    }
    command = [sys.executable, "-c", program, name]
    done = subprocess.run(
        command, env=environment, timeout=MOST_SECONDS, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
