"""Many uploads and downloads at once, through the ingress, by fast and by slow clients."""

import hashlib
import http.client
import json
import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from harness.stack import Stack, basic_login

EACH = 64
"""Uploads, and as many downloads beside them."""
SIZE = 20_000_000
MORE_THAN_WAITS = 80_000_000
"""Bytes of a content that the sockets between a store and a client cannot hold: they held 18 MB."""
_STEP = 64 * 1024
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class Crowd:
    """Clients of a stack, which all upload or download the same content, of ``size`` bytes."""

    def __init__(self, stack: Stack, size: int = SIZE) -> None:
        client_env = stack.client_env()
        self._address = stack.outputs()["hosts_line"].split()[0]
        self._headers = {"Host": client_env["MLFLOW_TRACKING_URI"].removeprefix("http://")}
        if "MLFLOW_TRACKING_USERNAME" in client_env:
            self._headers["Authorization"] = basic_login(client_env)
        self._content = random.Random(7).randbytes(size)  # noqa: S311 (noise, no secret)
        made = self._call("experiments/create", {"name": f"crowd {time.time_ns()}"})
        run = self._call("runs/create", made)["run"]["info"]
        self._folder = f"{_PROXY}/{run['artifact_uri'].removeprefix('mlflow-artifacts:/')}"
        self._page = f"/get-artifact?run_uuid={run['run_id']}&path=down"
        self._upload("down", 0)

    def move(self, seconds: float) -> None:
        """Upload and download the content, each transfer in ``seconds`` at least.

        Raises:
            RuntimeError: if a transfer fails.
        """
        with ThreadPoolExecutor(2 * EACH) as clients:
            moves = [clients.submit(self._upload, f"up-{n}", seconds) for n in range(EACH)]
            paths = (self._page, f"{self._folder}/down")
            moves += [clients.submit(self._download, paths[n % 2], seconds) for n in range(EACH)]
        for one in moves:
            one.result()

    def read_after(self, seconds: float) -> None:
        """Download the content with a pause after its first bytes.

        Raises:
            RuntimeError: if the download is not equal.
        """
        self._download(f"{self._folder}/down", 0, pause=seconds)

    def _upload(self, name: str, seconds: float) -> None:
        length = {"Content-Length": str(len(self._content))}
        connection = self._connect()
        connection.request(
            "PUT", f"{self._folder}/{name}", self._slowly(seconds), self._headers | length
        )
        _expect_ok(connection.getresponse())

    def _download(self, path: str, seconds: float, pause: float = 0) -> None:
        connection = self._connect()
        connection.request("GET", path, headers=self._headers)
        answer = connection.getresponse()
        digest, got, begun = hashlib.sha256(), 0, time.monotonic()
        while block := answer.read(_STEP):
            digest.update(block)
            got += len(block)
            _wait(begun, seconds * got / len(self._content))
            if got == len(block):
                time.sleep(pause)
        if digest.digest() != hashlib.sha256(self._content).digest():
            raise RuntimeError(f"a download of {got} bytes, status {answer.status}, is not equal")

    def _slowly(self, seconds: float) -> Iterator[bytes]:
        begun = time.monotonic()
        for start in range(0, len(self._content), _STEP):
            yield self._content[start : start + _STEP]
            _wait(begun, seconds * start / len(self._content))

    def _call(self, call: str, told: Mapping[str, object]) -> Any:
        headers = {**self._headers, "Content-Type": "application/json"}
        connection = self._connect()
        connection.request("POST", f"/api/2.0/mlflow/{call}", json.dumps(told), headers)
        return json.loads(_expect_ok(connection.getresponse()))

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address, timeout=300)


def _expect_ok(answer: http.client.HTTPResponse) -> bytes:
    content = answer.read()
    if answer.status != HTTPStatus.OK:
        raise RuntimeError(f"{answer.status} {content[:200]!r}")
    return content


def _wait(begun: float, seconds: float) -> None:
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
