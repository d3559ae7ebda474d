"""MySQL's programs in their image, on folders of the test."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import image_program
import pytest
import sqlalchemy
from image_program import Image
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

IMAGE_USER = 999
FOLDERS = ("var/lib/mysql", "run/mysqld", "login", "docker-entrypoint-initdb.d")


class Mysql:
    """A server of a stack whose passwords were rotated so many times."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, image_program.free_port()
        self._image = Image(os.environ["MYSQL_FILES"], folder, FOLDERS)
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
            os.chown(folder / name, IMAGE_USER, IMAGE_USER)
        self._running: subprocess.Popen[bytes] | None = None

    def uri(self, number: int) -> str:
        """Return the address of the runs, as the servers of a rotation read it."""
        url = URL.create(
            "mysql+pymysql",
            *(login(number), f"of-{number}", "127.0.0.1", self._port, "mlflow"),
            query={"charset": "utf8mb4"},
        )
        return url.render_as_string(hide_password=False)

    def engine(self, number: int) -> Engine:
        return sqlalchemy.create_engine(self.uri(number), poolclass=NullPool)

    def ask(self, number: int, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the servers of a rotation; return the rows."""
        with self.engine(number).begin() as connection:
            found = connection.exec_driver_sql(statement)
            return [tuple(row) for row in found] if found.returns_rows else []

    def lets_in(self, number: int) -> bool:
        try:
            self.ask(number, "SELECT 1")
        except OperationalError:
            return False
        return True

    def lets_root_in(self, number: int) -> bool:
        return not self._as_root(number, "mysql", "--execute=SELECT 1")[0]

    def start(self, number: int) -> None:
        """Start the pod of a rotation, and wait until its login works."""
        pod = json.loads(os.environ["MYSQL_PODS"])[number]
        for name, content in pod["first_start"].items():
            (self._folder / "docker-entrypoint-initdb.d" / name).write_text(content)
        environment = {
            "MYSQL_USER": login(number),
            "MYSQL_PASSWORD": f"of-{number}",
            "MYSQL_ROOT_PASSWORD": f"of-root-{number}",
            "MYSQL_ROOT_HOST": "localhost",
            "MYSQL_DATABASE": "mlflow",
        }
        for command in pod["before"]:
            code, said = self._run(command, environment)
            assert code == 0, said
        here = [f"--port={self._port}", "--bind-address=127.0.0.1"]
        command = ["docker-entrypoint.sh", *pod["args"], *here]
        self._running = self._begin(command, environment, "server")
        deadline = time.monotonic() + 300
        while not self.lets_in(number):
            said = (self._folder / "server").read_text()
            assert self._running.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def stop(self, number: int) -> None:
        """End the server as root of a rotation."""
        assert self._running
        code, said = self._as_root(number, "mysqladmin", "shutdown")
        assert code == 0, said
        self._running.wait(60)

    def kill(self) -> None:
        if self._running:
            self._running.kill()
            self._running.wait(10)

    def said(self) -> str:
        return "\n".join(file.read_text() for file in self._folder.iterdir() if file.is_file())

    def _as_root(self, number: int, program: str, argument: str) -> tuple[int, str]:
        password = {"MYSQL_PWD": f"of-root-{number}"}
        return self._run([program, "--user=root", argument], password)

    def _run(self, command: list[str], environment: dict[str, str]) -> tuple[int, str]:
        """Run a program of the image; return its exit status and what it says."""
        code = self._begin(command, environment, "program").wait(120)
        return code, (self._folder / "program").read_text()

    def _begin(
        self, command: list[str], environment: dict[str, str], log: str
    ) -> subprocess.Popen[bytes]:
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return self._image.begin(
            command, {**path, **environment}, user=IMAGE_USER, log=self._folder / log
        )


def login(number: int) -> str:
    return f"mlflow_{number}" if number else "mlflow"


@pytest.fixture
def mysql() -> Iterator[Mysql]:
    with image_program.scratch() as folder:
        running = Mysql(folder)
        try:
            yield running
        finally:
            running.kill()
