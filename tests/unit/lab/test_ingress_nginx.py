"""Objects of a cluster in, answers of a real nginx out: on loopback, without root or a cluster."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab.ingress import PACKAGES
from lab.ingress.config import Listen
from lab.ingress.front import Front
from lab.ingress.nginx import PROGRAM, Nginx
from lab.ingress.rules import Cluster
from tests.unit.lab.ingress_cluster import cluster, ingress, service, tls_secret

pytestmark = pytest.mark.skipif(
    not (PROGRAM.exists() and shutil.which("openssl")),
    reason=f"needs the Debian packages {' and '.join(PACKAGES)}",
)

MEGABYTE = 1024 * 1024


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked, as JSON; speaks just enough WebSocket to echo bytes."""

    protocol_version = "HTTP/1.1"
    server: "Backend"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self._echo_bytes()
            return
        if self.path == "/slow":
            time.sleep(1.5)
        if self.path == "/hangup":
            self.server.asked.append(self.command)
            self.close_connection = True
            return
        self._answer(b"")

    def do_POST(self) -> None:
        if self.path == "/hangup":
            self.do_GET()
            return
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            self.server.received.set()
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, body: bytes) -> None:
        said = {
            "backend": self.server.name,
            "path": self.path,
            "headers": {key.lower(): value for key, value in self.headers.items()},
            "sha256": hashlib.sha256(body).hexdigest(),
            "client_port": self.client_address[1],
        }
        answer = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _echo_bytes(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        while got := self.connection.recv(1024):
            self.connection.sendall(got.upper())
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class Backend(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: str, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.name = name
        self.received = threading.Event()
        self.asked: list[str] = []
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class World:
    """A front with its nginx, and a client that can reach it under any host name."""

    def __init__(self, prefix: Path) -> None:
        self.listen = Listen("127.0.0.1", _free_port(), _free_port())
        self.nginx = Nginx(prefix)
        self.front = Front(self.nginx, self.listen, root=os.geteuid() == 0)

    def get(self, url: str, **headers: str) -> "Answer":
        return self.ask("GET", url, headers=headers)

    def ask(
        self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> "Answer":
        host, slash, path = url.partition("/")
        port = self.listen.http
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request(method, slash + path, body, {"Host": host, **(headers or {})})
            return Answer(connection.getresponse())

    def get_tls(self, url: str) -> tuple["Answer", str]:
        """Ask by HTTPS; return the answer and the common name of the certificate."""
        host, slash, path = url.partition("/")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.listen.https), timeout=20)
        with context.wrap_socket(plain, server_hostname=host) as tls:
            certificate = tls.getpeercert(binary_form=True)
            assert certificate is not None
            tls.sendall(f"GET {slash}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            response = http.client.HTTPResponse(tls)
            response.begin()
            return Answer(response), _subject(certificate)


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.location = response.getheader("Location")
        self.body = response.read()

    @property
    def said(self) -> dict[str, Any]:
        assert self.status == 200, (self.status, self.body)
        said: dict[str, Any] = json.loads(self.body)
        return said


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world") / "ingress")
    yield made
    made.nginx.stop()
    assert made.nginx._processes() == set()


@pytest.fixture
def web() -> Iterator[Backend]:
    with Backend("web") as backend:
        yield backend
        backend.shutdown()


@pytest.fixture
def api() -> Iterator[Backend]:
    with Backend("api") as backend:
        yield backend
        backend.shutdown()


def both(web: Backend, api: Backend) -> list[Any]:
    return [*service("web", web.endpoint), *service("api", api.endpoint)]


def one(web: Backend, **annotations: Any) -> Cluster:
    """A cluster with a single Ingress, a.test, to the service `web`."""
    return cluster(
        ingress("one", ("a.test/", "Prefix", "web:80"), **annotations),
        *service("web", web.endpoint),
    )


def test_hosts_and_paths_lead_to_their_services(world: World, web: Backend, api: Backend) -> None:
    world.front.serve(
        cluster(
            ingress(
                "one",
                ("a.test/", "Prefix", "web:80"),
                ("a.test/api", "Prefix", "api:80"),
                ("a.test/exact", "Exact", "api:80"),
                ("a.test/start", "ImplementationSpecific", "api:80"),
                ("*.wild.test/", "Prefix", "api:80"),
                ("narrow.test/only", "Exact", "api:80"),
            ),
            *both(web, api),
        )
    )
    expected = {
        "a.test/": "web",
        "a.test/deep/down?x=1": "web",
        "a.test/api": "api",
        "a.test/api/": "api",
        "a.test/api/2.0/mlflow": "api",
        "a.test/apiary": "web",
        "a.test/exact": "api",
        "a.test/exact/": "web",
        "a.test/exactly": "web",
        "a.test/starting": "api",
        "a.test:8080/": "web",
        "one.wild.test/": "api",
        "two.one.wild.test/": 404,
        "wild.test/": 404,
        "narrow.test/only": "api",
        "narrow.test/": 404,
        "other.test/": 404,
        "127.0.0.1/": 404,
        "127.0.0.1/healthz": 200,
    }
    answers = {url: world.get(url) for url in expected}
    got = {
        url: answer.said["backend"] if isinstance(expected[url], str) else answer.status
        for url, answer in answers.items()
    }
    assert got == expected


def test_the_path_reaches_the_service_as_the_client_wrote_it(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    path = "/a%20b/%2Fc//d/../e?q=%2F&x=a+b"
    assert world.get(f"a.test{path}").said["path"] == path


def test_the_service_learns_who_asked_and_for_what(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    lies = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "X-Real-IP": "1.2.3.4"}
    answer = world.ask("GET", "a.test:8080/", headers={**lies, "Proxy": "evil.test"})
    headers = answer.said["headers"]
    expected = {
        "host": "a.test:8080",
        "x-real-ip": "127.0.0.1",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "a.test:8080",
        "x-forwarded-port": str(world.listen.http),
        "x-forwarded-proto": "http",
        "x-forwarded-scheme": "http",
        "x-scheme": "http",
        "x-original-forwarded-for": "1.2.3.4",
    }
    assert {key: headers.get(key) for key in expected} == expected
    assert len(headers["x-request-id"]) == 32
    assert not {"proxy", "connection", "upgrade"} & set(headers)


@pytest.mark.parametrize(
    ("limit", "size", "status"),
    [
        (None, MEGABYTE, 200),
        (None, MEGABYTE + 1, 413),
        ("8m", 8 * MEGABYTE, 200),
        ("8m", 8 * MEGABYTE + 1, 413),
        ("0", 40 * MEGABYTE, 200),
    ],
)
def test_the_body_size_is_one_megabyte_unless_the_annotation_says_more(
    world: World, web: Backend, limit: str | None, size: int, status: int
) -> None:
    world.front.serve(one(web, **({"proxy_body_size": limit} if limit else {})))
    body = bytes(size)
    answer = world.ask("POST", "a.test/", body)
    assert answer.status == status
    if status == 200:
        assert answer.said["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(("buffering", "early"), [("on", False), ("off", True)])
def test_without_request_buffering_a_body_arrives_while_it_is_sent(
    world: World, web: Backend, buffering: str, early: bool
) -> None:
    world.front.serve(one(web, proxy_request_buffering=buffering))
    seen: list[bool] = []

    def body() -> Iterator[bytes]:
        yield b"first"
        seen.append(web.received.wait(timeout=1))
        yield b"last"

    answer = world.ask("POST", "a.test/", body())
    assert answer.said["sha256"] == hashlib.sha256(b"firstlast").hexdigest()
    assert seen == [early]


@pytest.mark.parametrize(("timeout", "status"), [("1", 504), ("10", 200)])
def test_the_read_timeout_is_the_annotations(
    world: World, web: Backend, timeout: str, status: int
) -> None:
    world.front.serve(one(web, proxy_read_timeout=timeout))
    assert world.get("a.test/slow").status == status


def test_a_service_without_ready_endpoints_gives_503(world: World, web: Backend) -> None:
    route = ingress("one", ("a.test/", "Prefix", "web:80"))
    for objects in ([], service("web"), service("web", f"!{web.endpoint}")):
        world.front.serve(cluster(route, *objects))
        assert world.get("a.test/").status == 503
        # Not 413: its owner would look for the fault in the wrong place.
        assert world.ask("POST", "a.test/", b"x" * 1000).status == 503


def test_endpoints_share_the_requests_and_changes_drop_none(
    world: World, web: Backend, api: Backend
) -> None:
    route = ingress("one", ("a.test/", "Prefix", "web:80"))
    states = [
        cluster(route, *service("web", web.endpoint, api.endpoint)),
        cluster(route, *service("web", web.endpoint)),
    ]
    world.front.serve(states[0])
    assert {world.get("a.test/").said["backend"] for _ in range(4)} == {"web", "api"}
    statuses: list[int] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            statuses.append(world.get("a.test/").status)

    asking = threading.Thread(target=client)
    asking.start()
    for turn in range(5):
        world.front.serve(states[(turn + 1) % 2])
    done.set()
    asking.join()
    assert len(statuses) > 5
    assert set(statuses) == {200}


def test_a_new_configuration_holds_from_the_moment_serve_returns(
    world: World, web: Backend, api: Backend
) -> None:
    for turn in range(6):
        backend = (web, api)[turn % 2]
        world.front.serve(
            cluster(
                ingress("one", ("a.test/", "Prefix", "web:80")),
                *service("web", backend.endpoint),
            )
        )
        said = [world.get("a.test/").said["backend"] for _ in range(10)]
        assert set(said) == {backend.name}


def test_connections_to_a_service_are_kept(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    assert len({world.get("a.test/").said["client_port"] for _ in range(5)}) == 1


def test_only_requests_that_may_be_repeated_go_to_another_endpoint(
    world: World, web: Backend, api: Backend
) -> None:
    world.front.serve(
        cluster(
            ingress("one", ("a.test/", "Prefix", "web:80")),
            *service("web", web.endpoint, api.endpoint),
        )
    )
    assert world.get("a.test/hangup").status == 502
    assert len(web.asked) + len(api.asked) == 2
    assert world.ask("POST", "a.test/hangup", b"x").status == 502
    assert len(web.asked) + len(api.asked) == 3


def test_an_endpoint_that_refuses_is_passed_over(world: World, web: Backend) -> None:
    closed = f"127.0.0.1:{_free_port()}"
    world.front.serve(
        cluster(
            ingress("one", ("a.test/", "Prefix", "web:80")),
            *service("web", web.endpoint, closed),
        )
    )
    # A connection that was refused has sent nothing: even a POST may go elsewhere.
    assert {world.ask("POST", "a.test/", b"x").status for _ in range(6)} == {200}


def test_a_websocket_goes_through(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    with socket.create_connection(("127.0.0.1", world.listen.http), timeout=10) as client:
        client.sendall(
            b"GET /socket HTTP/1.1\r\nHost: a.test\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        reader = client.makefile("rb")
        assert reader.readline().startswith(b"HTTP/1.1 101")
        while reader.readline().strip():
            pass
        client.sendall(b"hello")
        assert reader.read(5) == b"HELLO"


def test_tls_gives_each_host_its_certificate_and_redirects_to_it(
    world: World, web: Backend, tmp_path: Path
) -> None:
    world.front.serve(
        cluster(
            ingress(
                "one",
                ("a.test/", "Prefix", "web:80"),
                ("b.test/", "Prefix", "web:80"),
                ("plain.test/", "Prefix", "web:80"),
                tls=[
                    {"hosts": ["a.test"], "secretName": "a"},
                    {"hosts": ["b.test"], "secretName": "b"},
                ],
            ),
            ingress(
                "both",
                ("c.test/", "Prefix", "web:80"),
                tls=[{"hosts": ["c.test"], "secretName": "a"}],
                ssl_redirect="false",
            ),
            ingress("forced", ("d.test/", "Prefix", "web:80"), force_ssl_redirect="true"),
            tls_secret("a", *_certificate(tmp_path, "a.test")),
            tls_secret("b", *_certificate(tmp_path, "b.test")),
            *service("web", web.endpoint),
        )
    )
    fallback = "Kubernetes Ingress Controller Fake Certificate"
    names = {"a.test": "a.test", "b.test": "b.test", "c.test": "a.test", "plain.test": fallback}
    for host, name in names.items():
        answer, subject = world.get_tls(f"{host}/")
        assert answer.said["headers"]["x-forwarded-proto"] == "https"
        assert subject == name
    redirects = {host: world.get(f"{host}/x?y=%2F") for host in (*names, "d.test")}
    assert {host: answer.status for host, answer in redirects.items()} == {
        "a.test": 308,
        "b.test": 308,
        "c.test": 200,
        "plain.test": 200,
        "d.test": 308,
    }
    assert redirects["a.test"].location == "https://a.test/x?y=%2F"


def test_a_renewed_certificate_is_served_and_the_old_key_removed(
    world: World, web: Backend, tmp_path: Path
) -> None:
    route = ingress("one", ("a.test/", "Prefix", "web:80"), tls=[{"secretName": "a"}])
    for name in ("old.test", "new.test"):
        secret = tls_secret("a", *_certificate(tmp_path, name))
        world.front.serve(cluster(route, secret, *service("web", web.endpoint)))
        assert world.get_tls("a.test/")[1] == name
    files = list((world.nginx.prefix / "certificates").iterdir())
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


@pytest.mark.parametrize("wrong", ["absent", "garbage", "another key", "no base64"])
def test_a_useless_secret_gives_the_fallback_certificate_and_a_report(
    world: World, web: Backend, tmp_path: Path, wrong: str
) -> None:
    certificate, key = _certificate(tmp_path, "a.test")
    if wrong == "garbage":
        certificate.write_text("-----BEGIN CERTIFICATE-----\n; return 200;\n")
    if wrong == "another key":
        key = _certificate(tmp_path, "b.test")[1]
    secret = tls_secret("a", certificate, key)
    if wrong == "no base64":
        secret.data = {"tls.crt": "!", "tls.key": "!"}
    site = world.front.serve(
        cluster(
            ingress("one", ("a.test/", "Prefix", "web:80"), tls=[{"secretName": "a"}]),
            *([] if wrong == "absent" else [secret]),
            *service("web", web.endpoint),
        )
    )
    answer, subject = world.get_tls("a.test/")
    assert (answer.status, subject) == (200, "Kubernetes Ingress Controller Fake Certificate")
    (report,) = site.reports
    assert report.reason == "NoCertificate"
    assert report.message.startswith("secret default/a: ")


def test_a_service_that_speaks_https_is_reached_by_https(world: World, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_certificate(tmp_path, "inside.test"))
    with Backend("secure", context) as backend:
        world.front.serve(one(backend, backend_protocol="HTTPS"))
        assert world.get("a.test/").said["backend"] == "secure"
        backend.shutdown()


def test_what_nginx_refuses_takes_no_other_ingress_down(
    world: World, web: Backend, api: Backend
) -> None:
    # Passes our checks, and is more than nginx can count.
    bad = ingress("bad", ("bad.test/", "Prefix", "web:80"), proxy_read_timeout="9" * 30)
    good = ingress("good", ("good.test/", "Prefix", "api:80"), created=1)
    site = world.front.serve(cluster(bad, good, *both(web, api)))
    assert world.get("good.test/").said["backend"] == "api"
    assert world.get("bad.test/").status == 404
    assert site.served == [good]
    (report,) = site.reports
    assert report.ingress is bad
    assert report.message == 'not served: "proxy_read_timeout" directive invalid value'


def test_an_ingress_that_goes_is_no_longer_served(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    assert world.get("a.test/").status == 200
    world.front.serve(cluster())
    assert world.get("a.test/").status == 404


def test_an_unchanged_cluster_means_no_reload(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    before = world.nginx._workers()
    world.front.serve(one(web))
    assert world.nginx._workers() == before


def test_a_long_answer_survives_a_reload(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(world.get("a.test/slow").status))
    asking.start()
    time.sleep(0.3)
    world.front.serve(cluster())
    assert world.get("a.test/").status == 404
    asking.join()
    assert answers == [200]


def test_a_killed_nginx_comes_back_with_what_it_served(world: World, web: Backend) -> None:
    world.front.serve(one(web))
    assert world.nginx._process is not None
    # Its worker lives on and holds the port: the hard case.
    os.kill(world.nginx._process.pid, signal.SIGKILL)
    world.nginx._process.wait()
    assert world.nginx.ensure_running()
    assert world.get("a.test/").status == 200
    assert not world.nginx.ensure_running()


def test_nothing_outlives_a_killed_controller(tmp_path: Path, world: World) -> None:
    world.front.serve(cluster())
    prefix, port = tmp_path / "second", _free_port()
    program = (
        "import pathlib, time; from lab.ingress.front import *;"
        f"Front(Nginx(pathlib.Path({str(prefix)!r})), Listen('127.0.0.1', {port}, {_free_port()}),"
        " root=False); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == b"up\n"
        second = Nginx(prefix)
        left = second._processes()
        assert len(left) == 2
        controller.kill()
    # What the killed one left ends by itself, or with the next stop, and the neighbour stays.
    second.stop()
    assert second._processes() == set()
    assert world.get("a.test/").status == 404


def test_the_configuration_fits_a_folder_of_any_name(tmp_path: Path, web: Backend) -> None:
    world = World(tmp_path / 'my "lab" $HOME; {x} é')
    try:
        world.front.serve(one(web))
        assert world.ask("POST", "a.test/", bytes(MEGABYTE)).status == 200
    finally:
        world.nginx.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-noenc", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def _subject(certificate: bytes) -> str:
    pem = ssl.DER_cert_to_PEM_cert(certificate)
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", "multiline"]
    shown = subprocess.run(command, input=pem, capture_output=True, text=True, check=True).stdout
    return shown.rpartition("commonName")[2].strip(" =\n")
