"""An upgrade of tables that hold data: writers stopped, tables changed, or all as it was before."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import mlflow
import psycopg2.extras
from psycopg2 import extensions
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.backup import save
from mlflow_kubernetes.backup.manifest import UnreadableError
from mlflow_kubernetes.backup.target import Target, TargetError
from mlflow_kubernetes.support.database import reason
from mlflow_kubernetes.support.environment import fail, one_line
from mlflow_kubernetes.upgrade import record as records
from mlflow_kubernetes.upgrade import sessions, stages
from mlflow_kubernetes.upgrade.cluster import Cluster, ClusterError
from mlflow_kubernetes.upgrade.record import Record
from mlflow_kubernetes.upgrade.tables import MigrationError, Tables, upgrade_together

POD_SECONDS = 120
"""How long a server may take to end: its grace period is 60 s."""
SESSION_SECONDS = 60
"""How long another client may stay connected before the upgrade is given up."""
_OTHER_IMAGE = "another image was chosen"
_CUT_SHORT = "the attempt before ended early: it was killed, or its dump failed"


class StopError(BaseException):
    """The pod is being stopped."""


class UpgradeError(Exception):
    """The upgrade cannot go on."""


@dataclass
class Upgrade:
    """One attempt at an upgrade, or at the way back.

    Args:
        cluster: where the servers run.
        all_tables: the tables of every database of the server.
        locks: one connection to each of these databases.
        record: what is known of the last upgrade.
    """

    cluster: Cluster
    all_tables: Sequence[Tables]
    locks: Sequence[Connection]
    record: Record

    @property
    def cut_short(self) -> bool:
        """Whether an earlier pod of this Job ended in the middle."""
        return self.record.interrupted and self.record.job == self.cluster.job

    def begin(self) -> None:
        """Note that an upgrade begins: an attempt that is killed from here on is taken back."""
        # After an attempt that was cut short, the Deployment is at zero.
        former = self.record if self.record.interrupted else None
        pods = self.cluster.pods()
        images = [each["image"] for pod in pods for each in pod["spec"]["containers"][:1]]
        self.record = Record(
            state=records.STOPPING,
            job=self.cluster.job,
            from_image=former.from_image if former else next(iter(images), ""),
            to_image=os.environ.get(contract.IMAGE, ""),
            schemas={each.key: [each.revision() or "", each.head()] for each in self.all_tables},
            replicas=former.replicas if former else self.cluster.replicas(),
            stopped=former.stopped if former else records.now(),
        ).write(self.cluster)
        print("the tables are of an older MLflow, and hold data", flush=True)

    def stop_writers(self) -> None:
        """Stop the servers, and wait until no other client is on the databases.

        Raises:
            UpgradeError: if a server or another client stays.
            ClusterError: if the Kubernetes API does not do it.
        """
        if self.record.replicas is not None:
            print(f"stopping {_servers(self.record)}", flush=True)
            self.cluster.scale(0)
        started = time.monotonic()
        _wait(self._servers_left, POD_SECONDS)
        _wait(self._sessions_left, SESSION_SECONDS)
        seconds = time.monotonic() - started
        print(f"nobody is connected to the databases after {seconds:.0f} s", flush=True)

    def _servers_left(self) -> str | None:
        names = [pod["metadata"]["name"] for pod in self.cluster.pods()]
        return f"the server {names[0]} does not end" if names else None

    def _sessions_left(self) -> str | None:
        found: list[str] = []
        for tables, connection in zip(self.all_tables, self.locks, strict=True):
            # PostgreSQL shows a transaction the same sessions all the time.
            connection.rollback()
            for session in sessions.others(connection):
                if (session.idle_seconds or 0) > sessions.IDLE_SECONDS:
                    sessions.end(connection, session)
                else:
                    found.append(f"{session.who} stays connected to {tables.where}")
            connection.rollback()
        return found[0] if found else None

    def keep_dump(self) -> None:
        """Put the dump of the databases into the backup target.

        Raises:
            TargetError: if the target does not take it.
            UnreadableError: if there is no dump.
        """
        back = self.record.state == records.GOING_BACK
        why = "rollback" if back else "upgrade"
        now = datetime.now(UTC)
        written, _ = save.save(_target(), stages.DUMPS, now, why, with_artifacts=False)
        name = written["taken"]
        kept = self.record.changed(kept=name) if back else self.record.changed(dump=name)
        self.record = kept.write(self.cluster)
        print(f"the databases were dumped to backup {name}", flush=True)

    def fetch_dump(self) -> None:
        """Get the dump that was made before the upgrade from the backup target.

        Raises:
            TargetError: if the target does not give it.
            UnreadableError: if it is damaged.
        """
        shutil.rmtree(stages.DUMPS, ignore_errors=True)
        stages.DUMPS.mkdir()
        _target().download(self.record.dump, stages.DUMPS)

    def migrate(self) -> None:
        """Change the tables, once nobody writes.

        Raises:
            MigrationError: if that fails.
        """
        self.record = self.record.changed(state=records.MIGRATING).write(self.cluster)
        upgrade_together(self.all_tables)
        self.finish()

    def finish(self) -> None:
        """Note that the tables are as this MLflow expects."""
        done = self.record.changed(state=records.DONE, migrated=records.now())
        self.record = done.write(self.cluster)
        if os.environ.get(contract.AUTOSCALED) and done.replicas is not None:
            # An autoscaler does nothing at zero. Until the update of the Deployment arrives, the
            # former servers refuse to start on the new tables.
            self.cluster.scale(done.replicas)
        print(f"the tables are those of MLflow {mlflow.__version__}: servers may start", flush=True)

    def restored(self) -> None:
        """Note that the tables are those of the dump."""
        self.record = self.record.changed(state=records.ROLLED_BACK).write(self.cluster)
        print(f"the tables are those of backup {self.record.dump} again", flush=True)

    @property
    def moved(self) -> list[Tables]:
        """The tables that are not as they were before the upgrade, or may not be."""
        return [each for each in self.all_tables if self._has_moved(each)]

    @property
    def restorable(self) -> bool:
        """Whether tables are half-way, and were dumped before."""
        begun = self.record.state == records.MIGRATING and self.record.dump
        return bool(begun and stages.WORK.is_dir() and self.moved)

    def _has_moved(self, tables: Tables) -> bool:
        if not self.record.interrupted or tables.key not in self.record.schemas:
            return False  # nothing was begun
        if self.record.state == records.MIGRATING and not tables.transactional:
            return True
        try:
            return (tables.revision() or "") != self.record.schemas[tables.key][0]
        except SQLAlchemyError:
            return False  # a database that does not answer cannot say

    def take_back(self, why: str, said: str = "") -> None:
        """Have the former servers run again, and note why."""
        state = records.DONE if self.record.state == records.GOING_BACK else records.FAILED
        if self.record.replicas is not None:
            self.cluster.scale(self.record.replicas)
        self.record = self.record.changed(state=state, why=why, said=said).write(self.cluster)

    def fail(self, why: str, *, for_good: bool = True) -> NoReturn:
        """Have the former servers run again, and end the pod with one line that says how to go on.

        Args:
            why: the reason.
            for_good: whether the Job's next pod says the same, and does not try again.
        """
        back = self.record.state == records.GOING_BACK
        what = "the way back" if back else f"the upgrade to MLflow {mlflow.__version__}"
        moved, said = self.moved, f"{what} failed: {why}"
        if moved and self.record.dump and not back and not stages.RESTORE.exists():
            # The next attempt restores the dump: only the database's own image can.
            self.record = self.record.changed(why=why).write(self.cluster)
            fail(f"{said}; the next pod restores {moved[0].where} from backup {self.record.dump}")
        if back:
            said += "; the servers run again as before"
        elif moved and not stages.RESTORE.exists():
            said += f"; {moved[0].where} is half-way: restore a backup made before"
        else:
            said += f"; nothing was changed{self._how_to_go_on()}"
        try:
            self.take_back(why, said if for_good else "")
        except ClusterError as error:
            fail(f"{what} failed: {why}; and the servers could not be started again: {error}")
        fail(said)

    def _how_to_go_on(self) -> str:
        runs = "runs" if self.record.replicas == 1 else "run"
        ran = f", and {_servers(self.record)} of the former version {runs} again"
        stay = f"; or set mlflow:serverImage to {self.record.from_image} to stay with it"
        return (
            f"{ran if self.record.replicas else ''}: correct that, then run `make up` again"
            f"{stay if self.record.from_image else ''}"
        )


@contextmanager
def guarded(attempt: Upgrade) -> Generator[None]:
    """Leave all as it was before, and end the Job, where the block fails or the pod is stopped."""
    # psycopg2 waits in C, where no signal reaches Python.
    extensions.set_wait_callback(psycopg2.extras.wait_select)
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except (Exception, StopError) as error:
        # A statement that was interrupted raises an error of its own.
        if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
            attempt.fail("the pod of the Job was stopped", for_good=False)
        attempt.fail(_why(error))


def plan(attempt: Upgrade) -> None:
    """Stop the writers; and where there is no chain, upgrade."""
    if attempt.cut_short:
        why = attempt.record.why or _CUT_SHORT
        if not attempt.restorable:
            attempt.fail(why)
        attempt.record = attempt.record.changed(why=why)
    if attempt.restorable:
        # What this Job or another one left half-way is replaced by the dump that was made before.
        _restore(attempt)
        return
    with guarded(attempt):
        attempt.begin()
        attempt.stop_writers()
        if stages.WORK.is_dir():
            stages.mark(stages.DUMP)
        else:
            print("nothing is dumped before: this server has no input `backups`", flush=True)
            attempt.migrate()


def _restore(attempt: Upgrade) -> None:
    same = attempt.cut_short
    with guarded(attempt):
        attempt.record = attempt.record.changed(
            job=attempt.cluster.job,
            to_image=os.environ.get(contract.IMAGE, ""),
            schemas={
                each.key: [attempt.record.schemas[each.key][0], each.head()]
                for each in attempt.all_tables
            },
            why=attempt.record.why if same else "",
            said="",
        ).write(attempt.cluster)
        attempt.stop_writers()
    stages.mark(stages.RESTORE)


def plan_without_need(attempt: Upgrade) -> None:
    """Bring the servers back, or take note of what was done, where the tables are as expected."""
    if attempt.restorable:
        _restore(attempt)
    elif attempt.record.to_image == os.environ.get(contract.IMAGE):
        attempt.finish()
    else:
        attempt.take_back(_OTHER_IMAGE)


def plan_way_back(attempt: Upgrade) -> None:
    """Stop the writers, for the tables to be replaced by those of the last upgrade's dump."""
    record = attempt.record
    if record.state not in (records.DONE, records.GOING_BACK) or not record.dump:
        fail(f"there is no upgrade to go back from: the last one is {record.state or 'unknown'!r}")
    with guarded(attempt):
        if record.state == records.DONE:
            attempt.record = record.changed(
                state=records.GOING_BACK,
                job=attempt.cluster.job,
                replicas=attempt.cluster.replicas(),
                stopped=records.now(),
                kept="",
                why="",
                said="",
            ).write(attempt.cluster)
        attempt.stop_writers()
    if not attempt.record.kept:
        stages.mark(stages.DUMP)
    stages.mark(stages.RESTORE)


def keep(attempt: Upgrade) -> None:
    """Put the dump into the backup target, and get the one that is to be restored."""
    with guarded(attempt):
        if stages.DUMP.exists():
            attempt.keep_dump()
        if stages.RESTORE.exists():
            attempt.fetch_dump()


def finish(attempt: Upgrade) -> None:
    """Upgrade, now that the databases were dumped or restored."""
    if attempt.record.state == records.GOING_BACK:
        attempt.restored()
    elif stages.RESTORE.exists() and attempt.record.why:
        attempt.fail(attempt.record.why)
    elif all(each.revision() == each.head() for each in attempt.all_tables):
        attempt.take_back(_OTHER_IMAGE)
    else:
        with guarded(attempt):
            attempt.migrate()


def _target() -> Target:
    # Where the target is not the artifact store itself, nothing is copied from that store.
    if os.environ.get(contract.BACKUP_STORE) != "artifacts":
        os.environ.pop(contract.ARTIFACTS_DESTINATION, None)
    return Target.from_environment()


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StopError


def _why(error: BaseException) -> str:
    match error:
        case ClusterError() | UpgradeError() | MigrationError() | UnreadableError():
            return str(error)
        case TargetError():
            return f"the backup target does not take the dump: {error}"
        case SQLAlchemyError():
            return reason(error)
        case _:  # a row that a script of MLflow did not expect
            return one_line(f"{type(error).__name__}: {error}")


def _servers(record: Record) -> str:
    count = record.replicas or 0
    return f"{count} server{'' if count == 1 else 's'}"


def _wait(problem: Callable[[], str | None], seconds: float) -> None:
    """Ask every second until there is no problem.

    Raises:
        UpgradeError: with the problem, if it stays.
    """
    deadline = time.monotonic() + seconds
    while why := problem():
        if time.monotonic() > deadline:
            raise UpgradeError(f"{why}, after {seconds:.0f} s")
        time.sleep(1)
