"""Indexes of this project's own on MLflow's tables, for the searches of runs.

MLflow has none for them: it sorts all runs of an experiment for a page, and reads all values of a
param. A migration of MLflow that drops a table or one of the columns takes the indexes along. A
dump has them.
"""

import sqlalchemy
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes.support.database import place, reason

BEGINNING = 64
"""How many letters of a value its index has: PostgreSQL refuses rows with longer ones in full."""
VALUES = ("params", "tags")
"""The tables whose values have an index, by their beginning."""
# MySQL drops an index that it made for a foreign key by itself as soon as another one begins with
# the same column, and MLflow's migrations may name it: ours begin with another one.
_BY_START = "runs (lifecycle_stage, experiment_id, start_time DESC, run_uuid)"
# What MLflow's page asks for: `attributes.start_time DESC` puts runs without a time last.
_BY_KNOWN_START = (
    "runs (lifecycle_stage, experiment_id, "
    "(CASE WHEN start_time IS NULL THEN 1 ELSE 0 END), start_time DESC, run_uuid)"
)
_INDEXES = {
    "postgresql": {
        "mlflow_kubernetes_runs_by_start": _BY_START,
        "mlflow_kubernetes_runs_by_known_start": _BY_KNOWN_START,
        **{
            f"mlflow_kubernetes_{table}_by_value": f"{table} (key, left(value, {BEGINNING}))"
            for table in VALUES
        },
    },
    # MySQL would refuse to drop or rename the column in an expression of an index.
    "mysql": {"mlflow_kubernetes_runs_by_start": _BY_START},
}
_WAIT_SECONDS = 60
"""How long one index waits for transactions of others: it is made while servers run."""


def missing(connection: Connection) -> list[str]:
    """Return the names of the indexes that the database does not have."""
    inspector = sqlalchemy.inspect(connection)
    found = {index["name"] for table in ("runs", *VALUES) for index in inspector.get_indexes(table)}
    return [name for name in _INDEXES[connection.dialect.name] if name not in found]


def make(engine: Engine) -> None:
    """Make the indexes that are missing, while the tables are read and written.

    A search finds the same without them. So an index that cannot be made is a line of the log, and
    the next migration tries again.

    Args:
        engine: A PostgreSQL or MySQL database with the tables of runs.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        postgres = connection.dialect.name == "postgresql"
        wait = (
            f"lock_timeout = '{_WAIT_SECONDS}s'"
            if postgres
            else f"lock_wait_timeout = {_WAIT_SECONDS}"
        )
        connection.exec_driver_sql(f"SET {wait}")
        try:
            if postgres:
                _drop_unfinished(connection)
            for name in missing(connection):
                connection.exec_driver_sql(
                    f"CREATE INDEX {'CONCURRENTLY ' if postgres else ''}{name} "
                    f"ON {_INDEXES[connection.dialect.name][name]}"
                )
                print(f"{place(engine)}: made the index {name}", flush=True)
        except SQLAlchemyError as error:
            print(f"{place(engine)}: an index is still missing: {reason(error)}", flush=True)


def _drop_unfinished(connection: Connection) -> None:
    """Drop what PostgreSQL keeps of an index whose making was cut short, and does not use."""
    unfinished = sqlalchemy.text(
        "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
        " WHERE NOT indisvalid AND relname IN :names AND pg_table_is_visible(indexrelid)"
    ).bindparams(sqlalchemy.bindparam("names", list(_INDEXES["postgresql"]), expanding=True))
    for (name,) in connection.execute(unfinished).all():
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
