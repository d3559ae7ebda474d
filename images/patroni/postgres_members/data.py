"""The data folder of a member, before Patroni looks at it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROLES = Path(__file__).parents[1] / "roles.sql"
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
        # Patroni moves a cluster that it could not make aside.
        shutil.rmtree(self.folder.with_name(f"{self.folder.name}.failed"), ignore_errors=True)
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

    def make_roles(self, logins: Mapping[str, str]) -> None:
        """Make the roles of the members in the database of a single server.

        Args:
            logins: the variables that roles.sql reads.

        Raises:
            subprocess.CalledProcessError: if the server does not start, or refuses.
        """
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
            psql = ("psql", "-wXq", "-v", "ON_ERROR_STOP=1", "-f", str(_ROLES))
            login = ("-h", _SOCKETS, "-U", "postgres", "-d", "postgres")
            subprocess.run([*psql, *login], check=True, env={**os.environ, **logins})
        finally:
            self._run("pg_ctl", {}, "--wait", "--silent", "--mode=fast", "stop")

    def _run(self, program: str, variables: Mapping[str, str], *arguments: str) -> str:
        return subprocess.run(
            [program, f"--pgdata={self.folder}", *arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        ).stdout
