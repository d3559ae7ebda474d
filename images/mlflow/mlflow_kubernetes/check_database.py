"""Check whether MLflow can use a database that exists already, before anything relies on it.

The check does with tables of its own what migrations and servers do, and takes all of it back.
"""

import os
import secrets
from contextlib import suppress

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.support import database
from mlflow_kubernetes.support.environment import fail, limit, required

# A random name, which no other table has. The statements have no text of a user.
_TABLE = f"mlflow_kubernetes_check_{secrets.token_hex(4)}"
_OTHER = f"{_TABLE}_other"
# The statements that are tried, by the words for a refusal.
_STEPS = {
    "create tables": f"CREATE TABLE {_TABLE} (id INTEGER PRIMARY KEY, name VARCHAR(20))",
    "alter tables": f"ALTER TABLE {_TABLE} ADD COLUMN more INTEGER",
    "make indexes": f"CREATE INDEX {_TABLE}_name ON {_TABLE} (name)",
    "make foreign keys": (
        f"CREATE TABLE {_OTHER} (id INTEGER, FOREIGN KEY (id) REFERENCES {_TABLE} (id))"
    ),
    "insert rows": f"INSERT INTO {_TABLE} (id, name) VALUES (1, 'one')",  # noqa: S608
    # Otherwise MLflow fails only when somebody first logs such a name.
    "keep any letter (its encoding must be UTF-8, on MySQL utf8mb4)": (
        f"INSERT INTO {_TABLE} (id, name) VALUES (2, 'ü🚀')"  # noqa: S608
    ),
    "update rows": f"UPDATE {_TABLE} SET more = 1 WHERE id = 1",  # noqa: S608
    "read rows": f"SELECT id FROM {_TABLE}",  # noqa: S608
    "delete rows": f"DELETE FROM {_TABLE} WHERE id = 1",  # noqa: S608
}
# MLflow's migration makes one, which MySQL leaves to root where there is a binary log.
_MYSQL_STEPS = {
    "make triggers (log_bin_trust_function_creators = 1 lets it)": (
        f"CREATE TRIGGER {_TABLE}_more BEFORE UPDATE ON {_TABLE} FOR EACH ROW SET NEW.more = 2"  # noqa: S608
    )
}
_UNDO = {f"drop tables, so that {table} stays": f"DROP TABLE {table}" for table in (_OTHER, _TABLE)}
_CONNECTIONS = {"postgresql": "SHOW max_connections", "mysql": "SELECT @@max_connections"}


def main() -> None:
    """Wait for the databases of runs and, if there is one, of users; try each of them."""
    _try(database.engine(contract.BACKEND_STORE_URI))
    if os.environ.get(contract.AUTHENTICATION):
        _try(database.engine(contract.AUTH_DATABASE_URI))


def _try(engine: Engine) -> None:
    where = database.place(engine)
    kind = engine.dialect.name
    if kind not in _CONNECTIONS:
        fail(f"{where} is {kind}: expected {' or '.join(_CONNECTIONS)}")
    if authority := os.environ.get(contract.DATABASE_CA):
        _refuse_unverified(engine, where, authority)
    alarm = limit(where)
    database.wait_for(engine)
    try:
        with engine.connect() as connection:
            said = connection.exec_driver_sql(_CONNECTIONS[kind]).scalar_one()
            wanted = required(contract.CONNECTIONS)
            if int(wanted) > int(said):
                fail(f"{where} allows {said} connections, not {wanted}")
            steps = {**_STEPS, **(_MYSQL_STEPS if kind == "mysql" else {}), **_UNDO}
            for action, statement in steps.items():
                _do(connection, where, action, statement)
    except SQLAlchemyError as error:
        fail(f"{where} fails: {database.reason(error)}")
    alarm.cancel()
    print(f"{where}: MLflow may make, use and drop tables there")


def _refuse_unverified(engine: Engine, where: str, authority: str) -> None:
    """End the Job if the address does not make the driver check the server's certificate."""
    options = engine.url.query
    if engine.dialect.name == "mysql":
        wanted, verified = f"ssl_ca={authority}", options.get("ssl_ca") == authority
    else:
        wanted = f"sslmode=verify-full&sslrootcert={authority}"
        verified = options.get("sslrootcert") == authority
        verified &= options.get("sslmode") in ("verify-ca", "verify-full")
    if not verified:
        fail(
            f"the address of {where} does not ask for the certificates of databaseCa: expected "
            f"{wanted} among its options"
        )


def _do(connection: Connection, where: str, action: str, statement: str) -> None:
    try:
        connection.exec_driver_sql(statement)
    except (SQLAlchemyError, UnicodeError) as error:
        # PostgreSQL undoes all statements with the transaction. MySQL keeps the tables.
        connection.rollback()
        with suppress(SQLAlchemyError):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_OTHER}, {_TABLE}")
        fail(f"{where} does not let MLflow's user {action}: {database.reason(error)}")


if __name__ == "__main__":
    main()
