"""Bring the tables of the databases to what this MLflow expects, before any server starts.

The program does what `mlflow db upgrade` does, but the address of the database never shows in a
list of processes. Servers migrate only an empty database by themselves, and two servers that do so
at once fail. If the server has a login, the program migrates the database of users as well, and
makes the stack's own users.

Tables that hold data are upgraded while no server runs: MLflow asks for it since 3.17.
"""

import json
import os
import warnings
from contextlib import ExitStack

import mlflow
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.patches import registry
from mlflow_kubernetes.support import database, schemas
from mlflow_kubernetes.support.database import reason
from mlflow_kubernetes.support.environment import fail
from mlflow_kubernetes.upgrade import record as records
from mlflow_kubernetes.upgrade import tables
from mlflow_kubernetes.upgrade.cluster import Cluster, ClusterError
from mlflow_kubernetes.upgrade.flow import Upgrade, upgrade
from mlflow_kubernetes.upgrade.tables import MigrationError, Tables


def main() -> None:
    """Wait for each database, then migrate all of them."""
    # Their readers are MLflow's developers, and the log of a Job is for its user.
    warnings.simplefilter("ignore")
    if problem := registry.check(["support.schemas"], login=contract.USERS in os.environ):
        fail(problem)
    all_tables = [Tables("runs", database.engine(contract.BACKEND_STORE_URI), schemas.runs())]
    if passwords := os.environ.get(contract.USERS):
        engine = database.engine(contract.AUTH_DATABASE_URI)
        all_tables.append(Tables("users", engine, schemas.users()))
    for each in all_tables:
        database.wait_for(each.engine)
    try:
        _migrate(all_tables)
    except (MigrationError, ClusterError) as error:
        fail(str(error))
    except (SQLAlchemyError, CommandError) as error:
        fail(f"cannot migrate {' and '.join(each.where for each in all_tables)}: {reason(error)}")
    if passwords:
        from mlflow_kubernetes import users  # noqa: PLC0415 (seconds, and all of a server)

        users.make(json.loads(passwords))


def _migrate(all_tables: list[Tables]) -> None:
    """Bring all tables up to date; stop the servers for it if some hold data and are older."""
    with ExitStack() as stack:
        locks = [stack.enter_context(tables.alone(each.engine)) for each in all_tables]
        before = {each.key: each.revision() for each in all_tables}
        for each in all_tables:
            if (found := before[each.key]) and not each.knows(found):
                fail(
                    f"the database has schema {found}, which MLflow {mlflow.__version__} does not"
                    " know: a newer MLflow wrote it. Run that version, or `make rollback`"
                )
        older = [each for each in all_tables if before[each.key] not in (None, each.head())]
        record = records.Record.read()
        # Nothing else of an ordinary run asks the Kubernetes API.
        cluster = Cluster.of_pod() if older or record.interrupted else None
        if cluster is None:
            for each in all_tables:
                each.bring_up_to_date()
            return
        attempt = Upgrade(cluster, all_tables, locks, record)
        if older:
            if record.interrupted and record.job == cluster.job:
                attempt.fail("the attempt before was killed")
            upgrade(attempt)
            return
        for each in all_tables:
            each.bring_up_to_date()
        if record.to_image == os.environ.get(contract.IMAGE):
            attempt.finish()
        else:
            attempt.take_back("another image was chosen")


if __name__ == "__main__":
    main()
