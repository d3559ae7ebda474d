"""Servers on this machine's own address: ours, and MLflow's without this package."""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow_kubernetes
import pytest
from mlflow_kubernetes import contract

PASSWORDS = {name: secrets.token_hex(16) for name in ("admin", "alice", "bob")}
MOST_SECONDS = 600
"""What takes longer hangs. A server took 120 s to start, beside other tests on two slow cores."""
_KEY = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()

# The package is installed where MLflow is, and MLflow would use its stores.
_WITHOUT_PLUGINS = """
import importlib.metadata as metadata

every = metadata.entry_points


def entry_points(**which):
    found = every(**which)
    return metadata.EntryPoints(x for x in found if not x.value.startswith("mlflow_kubernetes"))


metadata.entry_points = entry_points
"""


class Server:
    """A tracking server with SQLite and a folder for artifacts.

    Args:
        folder: Is the server's own.
        ours: Whether this package serves, or MLflow alone.
        login: Whether users log in.
    """

    def __init__(self, folder: Path, *, ours: bool, login: bool) -> None:
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.login = login
        self.log = folder / "log"
        self.artifacts = folder / "artifacts"
        self._folder = folder
        self._ours = ours
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")},
            "MLFLOW_ARTIFACTS_DESTINATION": str(self.artifacts),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/runs.db",
            "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.0/8,127.0.0.1:*,10.*",
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": _KEY,
            "PYTHONFAULTHANDLER": "1",
            "TMPDIR": str(folder),
        }
        if ours:
            self._environment[contract.AUDIT_LOG] = "true"
        if login:
            self._environment |= {
                "MLFLOW_AUTH_DATABASE_URI": f"sqlite:///{folder}/users.db",
                "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),
            }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._ours:
            if self.login:
                self._make_users()
            module = ["mlflow_kubernetes.serve"]
            # As in the image: the supervisor runs without the folder of installed packages.
            self._environment["PYTHONPATH"] = str(Path(mlflow_kubernetes.__file__).parents[1])
        else:
            module = ["mlflow", "server"]
            (self._folder / "sitecustomize.py").write_text(_WITHOUT_PLUGINS)
            self._environment["PYTHONPATH"] = str(self._folder)
            if self.login:
                config = self._folder / "auth.ini"
                config.write_text(
                    "[mlflow]\n"
                    f"database_uri = sqlite:///{self._folder}/users.db\n"
                    "default_permission = NO_PERMISSIONS\n"
                    "admin_username = admin\n"
                    f"admin_password = {PASSWORDS['admin']}\n"
                )
                self._environment["MLFLOW_AUTH_CONFIG_PATH"] = str(config)
        # Several, for one is served without a supervisor.
        workers = 2 if self._ours else 1
        options = ["--host=127.0.0.1", f"--port={self.port}", f"--workers={workers}"]
        options += ["--app-name=basic-auth"] if self.login else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module, *options],
                env=self._environment,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()
        if self.login and not self._ours:
            for name in PASSWORDS.keys() - {"admin"}:
                user = {"username": name, "password": PASSWORDS[name]}
                assert self.ask("POST", "/api/2.0/mlflow/users/create", user)[0] == 200

    def _make_users(self) -> None:
        # As the migration's Job does, which knows no SQLite.
        program = "import json, sys; from mlflow_kubernetes.login import accounts; "
        self.program(
            program + "accounts.make(json.loads(sys.stdin.read()))", stdin=json.dumps(PASSWORDS)
        )

    def _wait(self) -> None:
        assert self.process
        deadline = time.monotonic() + MOST_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.ask("GET", "/health")[0] == 200:
                    return
            except OSError:
                time.sleep(0.2)
        # At SIGABRT, Python prints the stack of each thread (faulthandler).
        os.killpg(self.process.pid, signal.SIGABRT)
        self.process.wait(10)
        pytest.fail(self.log.read_text())

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        user: str = "admin",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Return the status and the body of an answer: JSON, or else text."""
        sent = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if self.login:
            pair = f"{user}:{PASSWORDS.get(user, 'wrong')}"
            sent["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, body, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                status, said = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read().decode()
        try:
            return status, json.loads(said)
        except ValueError:
            return status, said

    def audited(self) -> list[dict[str, Any]]:
        """Return the lines of the audit log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"log": "audit"')]

    def program(
        self, text: str, *arguments: str, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the environment of the server's processes."""
        return subprocess.run(
            [sys.executable, "-c", text, *arguments],
            input=stdin,
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=True,
        )

    def experiment(self, user: str = "admin") -> str:
        """Make an experiment, and return its id."""
        name = {"name": secrets.token_hex(8)}
        status, answer = self.ask("POST", "/api/2.0/mlflow/experiments/create", name, user)
        assert status == 200, answer
        return str(answer["experiment_id"])

    def run(self, experiment: str, user: str = "admin") -> dict[str, Any]:
        """Begin a run, and return what MLflow says of it."""
        asked = {"experiment_id": experiment}
        status, answer = self.ask("POST", "/api/2.0/mlflow/runs/create", asked, user)
        assert status == 200, answer
        found: dict[str, Any] = answer["run"]["info"]
        return found


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    folder = tmp_path_factory.mktemp("servers")
    kinds = {
        f"{'ours' if ours else 'mlflow'}{'-login' if login else ''}": Server(
            folder / f"{ours}-{login}", ours=ours, login=login
        )
        for ours in (True, False)
        for login in (True, False)
    }
    try:
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(Server.start, kinds.values()):
                pass
        yield kinds
    finally:
        for server in kinds.values():
            server.stop()


@pytest.fixture(scope="session")
def ours(servers: dict[str, Server]) -> Server:
    return servers["ours"]


@pytest.fixture(scope="session")
def mlflow(servers: dict[str, Server]) -> Server:
    """MLflow's own server, with the same settings."""
    return servers["mlflow"]


@pytest.fixture(scope="session")
def ours_with_login(servers: dict[str, Server]) -> Server:
    return servers["ours-login"]


@pytest.fixture(scope="session")
def mlflow_with_login(servers: dict[str, Server]) -> Server:
    return servers["mlflow-login"]
