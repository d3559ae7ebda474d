"""PostgreSQL's programs in their image, on folders of the test."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import image_program
import pytest
import sqlalchemy
from image_program import Image
from mlflow_kubernetes import contract
from mlflow_kubernetes.backup import connections
from mlflow_kubernetes.backup.target import Target
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

RCLONE = Path(__file__).parents[3] / ".venv" / "bin" / "rclone"
IMAGE_USER = 999
_LOGS = "*.log"
FOLDERS = ("work", "connections", "docker-entrypoint-initdb.d")


class Postgres:
    """A server, and the programs that copy it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._password = secrets.token_hex(8)
        self._port = str(image_program.free_port())
        self._image = Image(os.environ["POSTGRES_FILES"], folder, FOLDERS)
        for name in FOLDERS:
            (folder / name).mkdir()
        for name, content in json.loads(os.environ["POSTGRES_FIRST_START"]).items():
            (folder / "docker-entrypoint-initdb.d" / name).write_text(content)
        self.work = folder / "work"
        self._running: list[subprocess.Popen[bytes]] = []

    def uri(self, name: str) -> str:
        """Return the address of a database, as MLflow reads it."""
        return f"postgresql+psycopg2://mlflow@127.0.0.1:{self._port}/{name}"

    def watched(self) -> Engine:
        """Return an engine of the login that copies the server."""
        login = f"replicator:{self._password}@127.0.0.1:{self._port}"
        return sqlalchemy.create_engine(
            f"postgresql+psycopg2://{login}/postgres", poolclass=NullPool
        )

    def engine(self, name: str, user: str) -> Engine:
        url = sqlalchemy.make_url(self.uri(name)).set(username=user)
        options = {"isolation_level": "AUTOCOMMIT"}
        return sqlalchemy.create_engine(url, poolclass=NullPool, execution_options=options)

    def ask(self, statement: str, name: str = "mlflow", user: str = "mlflow") -> None:
        """Run a statement in a transaction of its own."""
        with self.engine(name, user).connect() as connection:
            connection.exec_driver_sql(statement)

    def start(self) -> None:
        """Start the server, and make the login that copies it."""
        settings = json.loads(os.environ["POSTGRES_SETTINGS"])
        # So that the server lets go of its log soon, which it keeps in a stack.
        options = [part for one in (*settings, "wal_keep_size=0") for part in ("-c", one)]
        command = ["docker-entrypoint.sh", "postgres", "-c", "listen_addresses=127.0.0.1", *options]
        self.run(command, wait=False)
        deadline = time.monotonic() + 300
        while True:
            try:
                self.ask("SELECT 1")
                break
            except OperationalError:
                ended = self._running[-1].poll() is not None
                assert not ended, self.said()
                assert time.monotonic() < deadline, self.said()
                time.sleep(0.2)
        self.step("role", PGUSER="postgres", REPLICATION_PASSWORD=self._password)
        addresses = {"runs": self.uri("mlflow"), "users": self.uri("mlflow_auth")}
        urls = {name: sqlalchemy.make_url(address) for name, address in addresses.items()}
        for file, content in connections.files(urls).items():
            (self.folder / "connections" / file).write_text(content)

    def step(
        self, name: str, *, user: int = IMAGE_USER, wait: bool = True, **variables: str
    ) -> str:
        """Run the command of a container."""
        # What Python has written is root's.
        for file in (self.work, *self.work.rglob("*")):
            if file.exists() and self.work / "data" not in (file, *file.parents):
                os.chown(file, user, user)
        login = {"PGUSER": "replicator", "PGPASSWORD": self._password}
        commands = json.loads(os.environ["POSTGRES_COMMANDS"])
        return self.run(commands[name], user=user, wait=wait, **{**login, **variables})

    def run(
        self, command: list[str], *, user: int = IMAGE_USER, wait: bool = True, **variables: str
    ) -> str:
        """Run a program of the image; return what it says, unless it goes on."""
        os.chmod(self.work, 0o777)  # noqa: S103 (the test's own)
        environment = {
            "PATH": "/usr/local/bin:/usr/lib/postgresql/18/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PGDATA": "/work/data",
            "LANG": "en_US.utf8",
            "POSTGRES_PASSWORD": "of-the-superuser",
            "APPLICATION_USER": "mlflow",
            "APPLICATION_PASSWORD": "of-mlflow",
            "APPLICATION_DATABASE": "mlflow",
            "AUTH_DATABASE": "mlflow_auth",
            "PGPORT": self._port,
            **({"PGHOST": "127.0.0.1"} if command[0] == "sh" else {}),
            **variables,
        }
        log = self.folder / f"{len(list(self.folder.glob(_LOGS)))}.log"
        process = self._image.begin(command, environment, user=user, log=log)
        if not wait:
            self._running.append(process)
            return ""
        code, text = process.wait(120), log.read_text()
        if code:
            raise RuntimeError(text)
        return text

    def end(self, which: int = -1) -> None:
        """Kill a program that goes on, the last one unless said."""
        process = self._running.pop(which)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        while self._running:
            self.end()

    def said(self) -> str:
        return "\n".join(file.read_text() for file in self.folder.glob(_LOGS))


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with image_program.scratch() as folder:
        running = Postgres(folder)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture
def target(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Target:
    (postgres.folder / "target").mkdir()
    monkeypatch.setenv(contract.BACKUP_STORE, "volume")
    monkeypatch.setenv(contract.BACKUP_PASSPHRASE, secrets.token_hex(16))
    monkeypatch.setenv(contract.BACKEND_STORE_URI, postgres.uri("mlflow"))
    monkeypatch.setenv(contract.AUTH_DATABASE_URI, postgres.uri("mlflow_auth"))
    return Target.from_environment(RCLONE, postgres.folder / "target")
