"""Archive PostgreSQL's write-ahead log: `python -m mlflow_kubernetes.backup.archive [resume]`.

`pg_receivewal`, in a container beside this one, writes the log to a folder as it comes. This
program copies the folder to the backup target every `SECONDS`, also the segment that is being
written. With the argument `resume`, which an earlier container runs, the program fetches the last
segment of the archive: pg_receivewal then goes on after it, and the archive has no gap.
"""

import gzip
import re
import shutil
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from mlflow_kubernetes.backup.point import UNTIL, WAL, archived, shown
from mlflow_kubernetes.backup.target import Target, TargetError
from mlflow_kubernetes.support import database
from mlflow_kubernetes.support.environment import fail

FOLDER = Path("/work/wal")
"""Has a folder for each server that pg_receivewal has met, named by its system identifier."""
CURRENT = Path("/tmp/current")  # noqa: S108 (in the pod)
"""Is touched when the archive has all that was committed a moment ago: the pod is ready then."""
ALIVE = Path("/tmp/alive")  # noqa: S108 (in the pod)
"""Is touched before each round. The liveness probe ends a container whose round hangs."""
GAP = "gap"
"""File by which the receiver says that the server has removed the next segment."""
SECONDS = 30
_RECEIVED_SECONDS = 15
_PARTIAL = ".partial"
_NAME = re.compile(r"[0-9A-F]{24}(\.partial)?")
_DATABASE = "postgresql+psycopg2:///postgres?connect_timeout=5"
"""Host, user and password are in libpq's variables, which pg_receivewal reads too."""
# A transaction gets its time just before it is in the log.
_POSITION = (
    "SELECT clock_timestamp() - interval '1 second', CAST(pg_current_wal_flush_lsn() AS text), "
    "CAST(system_identifier AS text) FROM pg_control_system()"
)
# With --synchronous, pg_receivewal confirms at once what it has written.
_RECEIVED = (
    "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal' "
    "AND flush_lsn >= CAST(:lsn AS pg_lsn)"
)


class Position(NamedTuple):
    """A place in a server's log."""

    when: datetime
    """A moment, by the server's clock: what was committed before is in the log at that place."""
    lsn: str
    system: str


def main() -> None:
    """Archive until the pod ends; or fetch where the archive ended."""
    try:
        target = Target.from_environment()
        if sys.argv[1:] == ["resume"]:
            resume(target, FOLDER)
            return
    except TargetError as error:
        fail(str(error))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    engine = sqlalchemy.create_engine(_DATABASE, poolclass=NullPool)
    archive, told = Archive(target, FOLDER), ""
    while True:
        last = stop.is_set()
        ALIVE.touch()
        problem = _round(archive, engine)
        if problem != told:
            print(problem or "the archive is complete again", flush=True)
        told = problem
        if last:
            return
        stop.wait(SECONDS)


def _round(archive: "Archive", engine: Engine) -> str:
    """Archive what is there; return why the archive may lack something, in one line."""
    try:
        position = received(engine)
    except SQLAlchemyError as error:
        position, problem = None, f"the database does not answer: {database.reason(error)}"
    else:
        problem = "" if position else "pg_receivewal does not get the log: its container says why"
    try:
        archive.copy()
        if position:
            archive.note(position)
            CURRENT.touch()
    except TargetError as error:
        return f"the archive cannot be written: {error}"
    return problem


def received(engine: Engine) -> Position | None:
    """Return a position that pg_receivewal has passed; None if it does not within seconds."""
    with engine.connect() as connection:
        when, lsn, system = connection.execute(sqlalchemy.text(_POSITION)).one()
        deadline = time.monotonic() + _RECEIVED_SECONDS
        while time.monotonic() < deadline:
            if connection.execute(sqlalchemy.text(_RECEIVED), {"lsn": lsn}).scalar_one():
                return Position(when, lsn, system)
            time.sleep(0.5)
    return None


class Archive:
    """The copy of a folder of segments."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._copied: dict[Path, float] = {}

    def copy(self) -> None:
        """Copy the segments that are new or have grown; remove all but the last that are whole.

        Raises:
            TargetError: if the target cannot be written.
        """
        for folder in sorted(self._folder.glob("*")):
            gap = (folder / GAP).exists()
            found = sorted(file for file in folder.iterdir() if _NAME.fullmatch(file.name))
            for file in found:
                self._copy(file)
            # pg_receivewal goes on after the last whole segment in its folder.
            whole = [file for file in found if file.suffix != _PARTIAL]
            for file in found if gap else whole[:-1]:
                file.unlink()
                self._copied.pop(file, None)
            (folder / GAP).unlink(missing_ok=True)

    def _copy(self, file: Path) -> None:
        packed = Path("/tmp", f"{file.name}.gz")  # noqa: S108 (in the pod)
        try:
            changed = file.stat().st_mtime
            if self._copied.get(file) == changed:
                return
            with file.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as written:
                shutil.copyfileobj(source, written)
        except FileNotFoundError:
            return  # pg_receivewal has just completed it, under another name
        place = f"backup:{WAL}/{file.parent.name}"
        try:
            self._target.run("copyto", "--ignore-times", str(packed), f"{place}/{packed.name}")
        finally:
            packed.unlink()
        self._copied[file] = changed
        partial = file.with_name(file.name + _PARTIAL)
        if self._copied.pop(partial, None) is not None:
            self._target.run("deletefile", f"{place}/{partial.name}.gz")

    def note(self, position: Position) -> None:
        """Note that the archive has everything up to a position.

        Raises:
            TargetError: if the target cannot be written.
        """
        place = f"backup:{WAL}/{position.system}/{UNTIL}"
        self._target.run("rcat", place, stdin=shown(position.when))


def resume(target: Target, folder: Path) -> None:
    """Write the last whole segment of each server's archive to a folder.

    Raises:
        TargetError: if the target cannot be read.
    """
    folder.mkdir(exist_ok=True)
    for system in target.folders(WAL):
        there = archived(target.files(f"{WAL}/{system}"))
        whole = [name for name, file in there.items() if name == file]
        if not whole:
            continue
        (folder / system).mkdir(exist_ok=True)
        packed = folder / f"{whole[-1]}.gz"
        target.run("copyto", f"backup:{WAL}/{system}/{packed.name}", str(packed))
        with gzip.open(packed) as source, (folder / system / whole[-1]).open("wb") as written:
            shutil.copyfileobj(source, written)
        packed.unlink()


if __name__ == "__main__":
    main()
