"""Bring the tables of the databases to what this MLflow expects, before any server starts.

The program does what `mlflow db upgrade` does, but the address of the database never shows in a
list of processes. Servers migrate only an empty database by themselves, and two servers that do so
at once fail. If the server has a login, the program migrates the database of users as well, and
makes the stack's own users.

Tables that hold data are upgraded while no server runs: MLflow asks for it since 3.17. With
backups, the Job's pod is a chain of containers, and this program is three of them: `plan`, `keep`
and, at the end, `finish`. Without an argument it does everything by itself.
"""

import json
import os
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path

import mlflow
from alembic.util import CommandError
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.backup import connections
from mlflow_kubernetes.patches import registry
from mlflow_kubernetes.support import database, indexes, schemas
from mlflow_kubernetes.support.database import reason
from mlflow_kubernetes.support.environment import fail
from mlflow_kubernetes.upgrade import flow, stages, tables
from mlflow_kubernetes.upgrade import record as records
from mlflow_kubernetes.upgrade.cluster import Cluster, ClusterError
from mlflow_kubernetes.upgrade.flow import Upgrade
from mlflow_kubernetes.upgrade.record import Record
from mlflow_kubernetes.upgrade.tables import MigrationError, Tables

_CONNECTIONS = Path("/connections")


def main() -> None:
    """Wait for each database, then do the work of this container."""
    # Their readers are MLflow's developers, and the log of a Job is for its user.
    warnings.simplefilter("ignore")
    if problem := registry.check(["support.schemas"], login=contract.USERS in os.environ):
        fail(problem)
    record, cluster = records.Record.read(), Cluster.of_pod()
    if cluster and record.said and record.job == cluster.job:
        # Pulumi waits until the Job has had all of its pods: it does not know failure policies.
        fail(record.said)
    all_tables = [Tables("runs", database.engine(contract.BACKEND_STORE_URI), schemas.runs())]
    if passwords := os.environ.get(contract.USERS):
        engine = database.engine(contract.AUTH_DATABASE_URI)
        all_tables.append(Tables("users", engine, schemas.users()))
    for each in all_tables:
        database.wait_for(each.engine)
    try:
        with ExitStack() as stack:
            locks = [stack.enter_context(tables.alone(each)) for each in all_tables]
            _work(sys.argv[1:], all_tables, locks, record)
    except (MigrationError, ClusterError) as error:
        fail(str(error))
    except (SQLAlchemyError, CommandError) as error:
        fail(f"cannot migrate {' and '.join(each.where for each in all_tables)}: {reason(error)}")
    if stages.DUMP.exists() or stages.RESTORE.exists():
        if sys.argv[1:] == ["plan"]:
            # For the database's own programs, in the containers that come next.
            addresses = {each.key: each.engine.url for each in all_tables}
            for name, content in connections.files(addresses).items():
                connections.write(_CONNECTIONS / name, content)
        if sys.argv[1:] != ["finish"]:
            return
    if not os.environ.get(contract.ROLLBACK):
        indexes.make(all_tables[0].engine)
        if passwords:
            from mlflow_kubernetes.login import accounts  # noqa: PLC0415 (seconds, and all of a server)

            accounts.make(json.loads(passwords))
    stages.mark(stages.DONE)


def _work(
    arguments: list[str], all_tables: list[Tables], locks: list[Connection], record: Record
) -> None:
    """Do the part of the work that a container of the chain, or the only one, has."""
    match arguments:
        case ["keep"]:
            flow.keep(_attempt(all_tables, locks, record))
        case ["finish"] if stages.DUMP.exists() or stages.RESTORE.exists():
            flow.finish(_attempt(all_tables, locks, record))
        case _ if os.environ.get(contract.ROLLBACK):
            flow.plan_way_back(_attempt(all_tables, locks, record))
        case _:
            _plan(all_tables, locks, record)


def _attempt(all_tables: list[Tables], locks: list[Connection], record: Record) -> Upgrade:
    if cluster := Cluster.of_pod():
        return Upgrade(cluster, all_tables, locks, record)
    raise ClusterError("this pod has no token for the Kubernetes API")


def _plan(all_tables: list[Tables], locks: list[Connection], record: Record) -> None:
    """Bring all tables up to date; stop the servers first if some are older and hold data."""
    before = {each.key: each.revision() for each in all_tables}
    for each in all_tables:
        if (found := before[each.key]) and not each.knows(found):
            fail(
                f"the database has schema {found}, which MLflow {mlflow.__version__} does not"
                " know: a newer MLflow wrote it. Run that version, or `make rollback`"
            )
    older = [each for each in all_tables if before[each.key] not in (None, each.head())]
    # Nothing else of an ordinary run asks the Kubernetes API.
    cluster = Cluster.of_pod() if older or record.interrupted else None
    if older and cluster:
        flow.plan(Upgrade(cluster, all_tables, locks, record))
        return
    for each in all_tables:
        each.bring_up_to_date()
    if cluster:
        flow.plan_without_need(Upgrade(cluster, all_tables, locks, record))


if __name__ == "__main__":
    main()
