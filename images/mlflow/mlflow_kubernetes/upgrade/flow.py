"""An upgrade of tables that hold data: writers stopped, tables changed, or all as it was before."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import mlflow
import psycopg2.extras
from psycopg2 import extensions
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.support.database import reason
from mlflow_kubernetes.support.environment import fail, one_line
from mlflow_kubernetes.upgrade import record as records
from mlflow_kubernetes.upgrade import sessions
from mlflow_kubernetes.upgrade.cluster import Cluster, ClusterError
from mlflow_kubernetes.upgrade.record import Record
from mlflow_kubernetes.upgrade.tables import MigrationError, Tables, upgrade_together

POD_SECONDS = 120
"""How long a server may take to end: its grace period is 60 s."""
SESSION_SECONDS = 60
"""How long another client may stay connected before the upgrade is given up."""
_STATUS_OF_SIGTERM = 143


class StopError(BaseException):
    """The pod is being stopped."""


class UpgradeError(Exception):
    """The upgrade cannot go on."""


@dataclass
class Upgrade:
    """One attempt at an upgrade.

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

    def stop_writers(self) -> None:
        """Stop the servers, and wait until no other client is on the databases.

        Raises:
            UpgradeError: if a server or another client stays.
            ClusterError: if the Kubernetes API does not do it.
        """
        # After an attempt that was cut short, the Deployment is at zero.
        former = self.record if self.record.interrupted else None
        pods = self.cluster.pods()
        images = [each["image"] for pod in pods for each in pod["spec"]["containers"][:1]]
        record = Record(
            state=records.STOPPING,
            job=self.cluster.job,
            from_image=former.from_image if former else next(iter(images), ""),
            to_image=os.environ.get(contract.IMAGE, ""),
            schemas={
                tables.key: [tables.revision() or "", tables.head()] for tables in self.all_tables
            },
            replicas=former.replicas if former else self.cluster.replicas(),
            stopped=former.stopped if former else records.now(),
        )
        # Noted first: an attempt that is killed from here on is taken back by the next one.
        self.record = record.write(self.cluster)
        if record.replicas is not None:
            print(f"the tables are of an older MLflow: stopping {_servers(record)}", flush=True)
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

    def take_back(self, why: str) -> None:
        """Have the former servers run again, and note why."""
        if self.record.replicas is not None:
            self.cluster.scale(self.record.replicas)
        self.record = self.record.changed(state=records.FAILED, why=why).write(self.cluster)

    def fail(self, why: str, status: int = contract.FINAL) -> NoReturn:
        """Have the former servers run again, and end the Job with one line that says how to go on.

        Args:
            why: the reason.
            status: the exit status.
        """
        said = f"the upgrade to MLflow {mlflow.__version__} failed: {why}"
        try:
            self.take_back(why)
        except ClusterError as error:
            fail(f"{said}; and the former servers could not be started again: {error}")
        again = f", and {_servers(self.record)} of the former version run again"
        to_do = "correct that, then run `make up` again"
        if self.record.from_image:
            to_do += f"; or set mlflow:serverImage to {self.record.from_image} to stay with it"
        moved = [tables.where for tables in self.all_tables if self._has_moved(tables)]
        if moved:
            fail(f"{said}; {moved[0]} is half-way: restore a backup made before", status)
        fail(f"{said}; nothing was changed{again if self.record.replicas else ''}: {to_do}", status)

    def _has_moved(self, tables: Tables) -> bool:
        try:
            return (tables.revision() or "") != self.record.schemas[tables.key][0]
        except SQLAlchemyError:
            return False  # a database that does not answer cannot say


def upgrade(attempt: Upgrade) -> None:
    """Upgrade, or leave all as it was before and end the Job."""
    # psycopg2 waits in C, where no signal reaches Python.
    extensions.set_wait_callback(psycopg2.extras.wait_select)
    signal.signal(signal.SIGTERM, _stop)
    try:
        attempt.stop_writers()
        print("nothing is dumped before: this stack has no backups", flush=True)
        attempt.migrate()
    except (Exception, StopError) as error:
        # A statement that was interrupted raises an error of its own.
        if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
            attempt.fail("the pod of the Job was stopped", _STATUS_OF_SIGTERM)
        attempt.fail(_why(error))


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StopError


def _why(error: BaseException) -> str:
    match error:
        case ClusterError() | UpgradeError() | MigrationError():
            return str(error)
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
