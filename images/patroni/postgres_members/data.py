"""The data folder of a member, before Patroni looks at it."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

FIRST_START = Path("/docker-entrypoint-initdb.d")
"""The scripts that the official image runs on an empty volume."""
_ROLES = Path(__file__).parents[1] / "roles.sql"
_USER = "postgres"
_SOCKETS = "/tmp"  # noqa: S108 (in the pod)
_LOG = Path(_SOCKETS, "server.log")
_START_SECONDS = 600
"""How long a server may take to replay its log after it was killed."""


@dataclass(frozen=True)
class Data:
    """The data folder."""

    folder: Path

    @property
    def is_there(self) -> bool:
        """Whether the folder has a whole database: a copy writes this file last."""
        return (self.folder / "global" / "pg_control").exists()

    @property
    def is_of_member(self) -> bool:
        """Whether a member wrote the folder: Patroni keeps its settings there."""
        return (self.folder / "patroni.dynamic.json").exists()

    def tidy(self) -> None:
        """Remove what is left of a start that was cut short."""
        shutil.rmtree(self._new, ignore_errors=True)
        # No process of the former container runs any more. Another one may have its number.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def system(self) -> str:
        """Return the number by which PostgreSQL knows copies of one database."""
        shown = self._run("pg_controldata", {"LC_ALL": "C"})
        (line,) = (
            one for one in shown.splitlines() if one.startswith("Database system identifier")
        )
        return line.rpartition(" ")[2]

    def make(self, password: str) -> None:
        """Make the database that the official image makes on an empty volume.

        Patroni could make it too, but its new primary would acknowledge writes that no other member
        has, for some seconds.

        Args:
            password: the superuser's.

        Raises:
            subprocess.CalledProcessError: if a program of PostgreSQL fails.
        """
        new = Data(self._new)
        new._run("initdb", {}, f"--username={_USER}", "--pwfile=/dev/stdin", given=password)
        new._run_scripts(sorted(FIRST_START.glob("*.sql")), {})
        # Nothing is at this place but a whole database.
        new.folder.rename(self.folder)
        # The record will say that there is a database.
        os.sync()

    def make_roles(self, logins: Mapping[str, str]) -> None:
        """Make the roles of the members in the database of a single server.

        Args:
            logins: the variables that roles.sql reads.

        Raises:
            subprocess.CalledProcessError: if the server does not start, or refuses.
        """
        self._run_scripts([_ROLES], logins)

    @property
    def _new(self) -> Path:
        # The check of the volume, which looks for databases at other places, passes this name over.
        return self.folder.with_name(f".{self.folder.name}.new")

    def _run_scripts(self, scripts: Iterable[Path], variables: Mapping[str, str]) -> None:
        """Run SQL scripts as the superuser on a server that nobody else reaches."""
        options = f"-c listen_addresses= -c unix_socket_directories={_SOCKETS}"
        # Without a log of its own, the server would keep the output of pg_ctl open.
        start = ("--wait", f"--timeout={_START_SECONDS}", "--silent", f"--log={_LOG}", "start")
        try:
            self._run("pg_ctl", {}, "--options", options, *start)
        except subprocess.CalledProcessError:
            if _LOG.exists():
                print(_LOG.read_text(errors="replace"), end="")
            raise
        try:
            psql = ("psql", "-wXq", "-v", "ON_ERROR_STOP=1")
            login = ("-h", _SOCKETS, "-U", _USER, "-d", "postgres")
            for script in scripts:
                command = [*psql, *login, "-f", str(script)]
                subprocess.run(command, check=True, env={**os.environ, **variables})
        finally:
            self._run("pg_ctl", {}, "--wait", "--silent", "--mode=fast", "stop")

    def _run(
        self, program: str, variables: Mapping[str, str], *arguments: str, given: str = ""
    ) -> str:
        return subprocess.run(
            [program, f"--pgdata={self.folder}", *arguments],
            check=True,
            input=given,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        ).stdout
