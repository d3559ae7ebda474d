"""How `make up` waits for the server, and its last lines."""

import re
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from commands import up
from commands.support.console import CommandError
from components.local_certificate import certify

HOSTS = ["known.invalid"]
MADE = certify("seed", HOSTS, HOSTS, datetime.now(UTC).year)


ANSWERS = {
    "/health": b"OK",
    "/api/2.0/mlflow/experiments/search": b'{"experiments": []}',
    "/": b"<!doctype html><html></html>",
}
ADMIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "open sesame"}


class _Ingress(BaseHTTPRequestHandler):
    """Answers as MLflow for one host name and refuses any other, as an ingress does."""

    protocol_version = "HTTP/1.1"
    rewrites = False
    """Whether each path is changed into `/`."""
    limit = 10**9
    """Bytes of a body that pass."""
    login = ""
    """Authorization header that is let in; any if there is none."""

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self.rfile.read(size)
        known = self.headers["Host"].partition(":")[0] == "known.invalid"
        path = "/" if self.rewrites else self.path
        if not known or path not in ANSWERS:
            self._answer(404, b"default backend - 404")
        elif size > self.limit:
            self._answer(413, b"<html>too large</html>")
        elif self.login and path != "/health" and self.headers["Authorization"] != self.login:
            self._answer(401, b"You are not authenticated.")
        else:
            self._answer(200, ANSWERS[path])

    do_POST = do_GET  # noqa: N815 (the name is http.server's)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Ingress)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_name_that_nothing_resolves_is_asked_at_the_ingress_address(port: int) -> None:
    up.wait(f"http://known.invalid:{port}", "127.0.0.1")


def test_the_server_is_asked_as_the_admin(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(_Ingress, "login", "Basic YWRtaW46b3BlbiBzZXNhbWU=")
    up.wait(f"http://known.invalid:{port}", "127.0.0.1", None, ADMIN)
    with pytest.raises(CommandError, match=r"POST /api/\S+: HTTP 401 You are not authenticated"):
        up.wait(f"http://known.invalid:{port}", "127.0.0.1")


def test_an_ingress_that_changes_paths_is_told(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(_Ingress, "rewrites", True)
    with pytest.raises(CommandError, match="/health: HTTP 200, but not MLflow's answer: does mlf"):
        up.wait(f"http://known.invalid:{port}", "127.0.0.1")


def test_an_ingress_that_limits_bodies_is_told(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(_Ingress, "limit", 1_000_000)
    with pytest.raises(CommandError, match=r"POST /api/\S+/search: HTTP 413"):
        up.wait(f"http://known.invalid:{port}", "127.0.0.1")


@pytest.fixture
def secure_port(tmp_path: Path) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Ingress)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = tmp_path / "server.pem"
    file.write_text(MADE.certificate + MADE.key)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("authority", [None, MADE.authority])
def test_a_server_with_tls_is_asked_by_https(secure_port: int, authority: str | None) -> None:
    up.wait(f"https://known.invalid:{secure_port}", "127.0.0.1", authority)


def test_a_certificate_of_another_authority_is_not_the_servers(
    secure_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.1)
    other = certify("other", HOSTS, HOSTS, 2026).authority
    with pytest.raises(CommandError, match="CERTIFICATE_VERIFY_FAILED"):
        up.wait(f"https://known.invalid:{secure_port}", "127.0.0.1", other)


def test_a_certificate_for_another_name_is_not_the_servers(
    secure_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(CommandError, match=r"its certificate is for known\.invalid"):
        up.wait(f"https://other.invalid:{secure_port}", "127.0.0.1")


def test_a_server_that_never_answers_is_one_line_with_the_reason(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(CommandError, match=r"127\.0\.0\.1: GET /health: HTTP 404") as failure:
        up.wait(f"http://unknown.invalid:{port}", "127.0.0.1")
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("line", "address"),
    [("198.18.255.2 a.local b.local", "198.18.255.2"), ("<pending> a.local", None), ("", None)],
)
def test_the_address_in_a_hosts_line(line: str, address: str | None) -> None:
    assert up.address_in(line) == address


OUTPUTS = {"tracking_uri": "http://ml.invalid", "hosts_line": "192.0.2.1 ml.invalid lab.invalid"}


def test_the_closing_words_tell_of_a_workspace_where_there_is_one() -> None:
    plain = up._summary("minikube", OUTPUTS, 5)
    assert "JupyterLab" not in plain
    told = up._summary("office", {**OUTPUTS, "workspace_url": "http://lab.invalid"}, 5)
    assert re.search(r"^  JupyterLab +http://lab\.invalid$", told, re.M)
    assert "workspace_token --show-secrets --stack office" in told


def test_the_closing_words_name_the_same_cluster_and_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "make -s client-env)" in up._summary("office", OUTPUTS, 5)
    monkeypatch.setenv("CONTEXT", "a b")
    monkeypatch.setenv("STACK", "office")
    told = up._summary("office", OUTPUTS, 65)
    assert """eval "$(make -s client-env CONTEXT='a b' STACK=office)\"""" in told
    assert "make down CONTEXT='a b' STACK=office" in told
    assert "MLflow is up, after 1 min 5 s." in told


def test_the_hosts_line_is_told_until_every_name_of_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"ml.invalid": "192.0.2.1"}
    monkeypatch.setattr(up, "_resolve", known.get)
    assert OUTPUTS["hosts_line"] in up._summary("minikube", OUTPUTS, 5)
    known["lab.invalid"] = "192.0.2.1"
    assert OUTPUTS["hosts_line"] not in up._summary("minikube", OUTPUTS, 5)
