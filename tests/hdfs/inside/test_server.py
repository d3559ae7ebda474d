"""The server in front of HDFS: what passes through it is neither kept in memory nor in /tmp."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from cluster import Hdfs, wait_until
from conftest import Look
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow_kubernetes.artifacts.hdfs import HdfsArtifactRepository

SIZE = 256 * 1024 * 1024
_BLOCK = os.urandom(1024 * 1024)
_ROUTE = "/api/2.0/mlflow-artifacts/artifacts"


class Server:
    """One worker of the tracking server, started as its image does."""

    def __init__(self, destination: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder / "tmp"
        self.folder.mkdir()
        address = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow_kubernetes.serve", *address],
                env={
                    **os.environ,
                    "MALLOC_ARENA_MAX": "2",
                    "MLFLOW_ARTIFACTS_DESTINATION": destination,
                    "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/db",
                    "PYTHONFAULTHANDLER": "1",
                    "TMPDIR": str(self.folder),
                },
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(self._answers)
        except AssertionError as error:
            # At SIGABRT, Python prints the stack of each thread (faulthandler).
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(10)
            raise AssertionError(self._log.read_text()) from error

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def peak(self) -> int:
        """Return the most memory that any of its processes has had, in MiB."""
        peaks = []
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if os.getpgid(int(status.parent.name)) == self._process.pid:
                    lines = status.read_text().splitlines()
                    peaks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
            except (FileNotFoundError, ProcessLookupError):
                continue
        return max(peaks) // 1024

    def _answers(self) -> bool:
        assert self._process.poll() is None
        try:
            connection = self.connect()
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


@pytest.fixture
def server(repository: HdfsArtifactRepository, tmp_path: Path) -> Iterator[Server]:
    started = Server(repository.artifact_uri, tmp_path)
    try:
        yield started
    finally:
        started.stop()


def ask(server: Server, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = server.connect()
    connection.request(method, f"{_ROUTE}/{path}", body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_what_passes_through_the_server_is_not_kept_in_it(
    server: Server, repository: HdfsArtifactRepository, look: Look, hdfs: Hdfs
) -> None:
    assert ask(server, "PUT", "warm/up", b"x")[0] == 200
    assert ask(server, "GET", "warm/up") == (200, b"x")
    before = server.peak()
    largest_file = Largest(server.folder)
    connection = server.connect()
    connection.request("PUT", f"{_ROUTE}/a/big", (_BLOCK for _ in range(SIZE // len(_BLOCK))))
    assert connection.getresponse().status == 200
    connection = server.connect()
    connection.request("GET", f"{_ROUTE}/a/big")
    answer = connection.getresponse()
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Content-Disposition"] == "attachment; filename=big"
    for _ in range(SIZE // len(_BLOCK)):
        assert answer.read(len(_BLOCK)) == _BLOCK
    assert answer.read() == b""
    assert largest_file.end() < 1024 * 1024
    assert server.peak() - before <= 64

    # What is wrong is told in one line.
    status, told = ask(server, "GET", "missing")
    assert (status, json.loads(told)["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert json.loads(told)["message"] == (
        f"Cannot read {repository.artifact_uri}/missing: File does not exist:"
        f" {repository.artifact_uri.removeprefix(hdfs.url)}/missing"
    )
    assert ask(server, "GET", "a")[0] == 404
    assert ask(server, "GET", "../a")[0] in (400, 404)

    # A client that goes away in the middle leaves nothing.
    connection = server.connect()
    connection.putrequest("PUT", f"{_ROUTE}/a/half")
    connection.putheader("Content-Length", str(SIZE))
    connection.endheaders()
    for _ in range(16):
        connection.send(_BLOCK)
    wait_until(lambda: len(look.names("a")) == 2)
    connection.close()
    wait_until(lambda: look.names("a") == ["big"])

    # One that breaks off in HDFS is not taken for a whole one.
    connection = server.connect()
    connection.request("GET", f"{_ROUTE}/a/big")
    answer = connection.getresponse()
    answer.read(len(_BLOCK))
    repository.delete_artifacts("a")
    hdfs.signal("datanode", signal.SIGKILL)
    try:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    finally:
        hdfs.start_one("datanode")
        hdfs.wait_until_ready()


def test_a_download_by_a_page_waits_for_its_reader(server: Server) -> None:
    """As clients' downloads do; its reader, a person's browser, is often slow."""
    run = created(server)
    for name, size in (("small", 1), ("big", SIZE // len(_BLOCK))):
        connection = server.connect()
        route = f"{_ROUTE}/0/{run}/artifacts/{name}"
        connection.request("PUT", route, (_BLOCK for _ in range(size)))
        assert connection.getresponse().status == 200
    assert page(server, run, "small").read() == _BLOCK
    before = server.peak()
    largest_file = Largest(server.folder)
    answer = page(server, run, "big")
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Content-Disposition"] == "attachment; filename=big"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.read(len(_BLOCK)) == _BLOCK
    time.sleep(5)  # time enough to fetch all of it
    for _ in range(SIZE // len(_BLOCK) - 1):
        assert answer.read(len(_BLOCK)) == _BLOCK
    assert answer.read() == b""
    assert largest_file.end() < 1024 * 1024
    assert server.peak() - before <= 64
    answer = page(server, run, "missing")
    assert (answer.status, json.loads(answer.read())["error_code"]) == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
    )


def test_head_and_a_range_read_no_more_than_is_asked_for(server: Server) -> None:
    assert ask(server, "PUT", "folder/file.txt", b"0123456789")[0] == 200
    for headers, expected in (
        ({"Range": "bytes=2-4"}, (206, b"234")),
        ({"Range": "bytes=-1"}, (206, b"9")),
        ({"Range": "bytes=10-"}, (416, b"")),
        ({"If-None-Match": "*"}, (304, b"")),
    ):
        connection = server.connect()
        connection.request("GET", f"{_ROUTE}/folder/file.txt", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == expected, headers
    for path, status in (("folder/file.txt", 200), ("folder", 404), ("missing", 404)):
        connection = server.connect()
        connection.request("HEAD", f"{_ROUTE}/{path}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
    connection.request("HEAD", f"{_ROUTE}/folder/file.txt")
    answer = connection.getresponse()
    assert (answer.headers["Content-Length"], answer.headers["Content-Type"]) == (
        "10",
        "text/plain",
    )


def test_a_name_is_kept_as_it_is_or_refused(server: Server, look: Look) -> None:
    characters = st.one_of(
        st.characters(codec="utf-8", exclude_characters="/"),
        st.sampled_from("#?%&=;+:@ ~.\\\"'<>|*[]{}^`$!,aAfF012"),
    )

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.text(characters, min_size=1, max_size=12))
    @example(".snapshot")
    @example("x:y")
    @example("é" * 128)
    @example("loss#1.txt")
    def check(name: str) -> None:
        folder = uuid.uuid4().hex
        path = f"{folder}/{quote(name, safe='')}"
        status, said = ask(server, "PUT", path, name.encode())
        if status != 200:
            assert (status, json.loads(said)["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
            assert look.names(folder) == []
            return
        assert look.names(folder) == [name]
        assert ask(server, "GET", path) == (200, name.encode())

    check()


def test_many_slow_clients_take_little_memory(server: Server) -> None:
    each, blocks = 64, 4
    assert ask(server, "PUT", "crowd/down", _BLOCK * blocks)[0] == 200
    before = server.peak()

    def slowly() -> Iterator[bytes]:
        for _ in range(blocks):
            yield _BLOCK
            time.sleep(1)

    def upload(number: int) -> None:
        connection = server.connect()
        connection.request("PUT", f"{_ROUTE}/crowd/{number}", slowly())
        assert connection.getresponse().status == 200

    def download() -> None:
        connection = server.connect()
        connection.request("GET", f"{_ROUTE}/crowd/down")
        answer = connection.getresponse()
        for _ in range(blocks):
            assert answer.read(len(_BLOCK)) == _BLOCK
            time.sleep(1)

    with ThreadPoolExecutor(2 * each) as clients:
        moves = [clients.submit(upload, number) for number in range(each)]
        moves += [clients.submit(download) for _ in range(each)]
    for one in moves:
        one.result()
    # A half of what the pod has beyond what two workers take at rest.
    assert server.peak() - before <= 300


def created(server: Server) -> str:
    """Make a run, and return its id."""
    connection = server.connect()
    body = json.dumps({"experiment_id": "0"})
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/api/2.0/mlflow/runs/create", body, headers)
    run_id: str = json.load(connection.getresponse())["run"]["info"]["run_id"]
    return run_id


def page(server: Server, run: str, path: str) -> http.client.HTTPResponse:
    """Ask for a file as MLflow's page does."""
    connection = server.connect()
    connection.request("GET", f"/get-artifact?run_uuid={run}&path={path}")
    return connection.getresponse()


class Largest:
    """The most bytes that a folder has held since."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._most = folder, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._over.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            sizes = []
            for file in self._folder.rglob("*"):
                try:
                    sizes.append(file.stat().st_size)
                except FileNotFoundError:
                    continue
            self._most = max(self._most, sum(sizes))
