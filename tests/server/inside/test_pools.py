"""When the server asks the database whether a connection is still there."""

from typing import Any

import pymysql
import pytest
import sqlalchemy
from mlflow_kubernetes.patches import bad_input
from mlflow_kubernetes.stores import pools
from sqlalchemy.engine import Engine


class Connection:
    """Stands in for a connection of PyMySQL, and notes what MySQL would be asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: Exception = pymysql.err.IntegrityError(1062, "Duplicate entry")

    def ping(self, *_: object) -> None:
        self.asked.append("ping")

    def commit(self) -> None:
        self.asked.append("commit")

    def rollback(self) -> None:
        self.asked.append("rollback")

    def close(self) -> None:
        pass

    def cursor(self, *_: object) -> Any:
        raise self.fails


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def engine(connection: Connection) -> Engine:
    # The first connection of an engine would ask for MySQL's version.
    engine = sqlalchemy.create_engine(
        "mysql+pymysql://",
        creator=lambda: connection,
        pool_pre_ping=True,
        _initialize=False,
    )
    pools.install(engine)
    return engine


def test_a_connection_that_has_not_rested_is_used_without_a_ping(
    engine: Engine, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with engine.connect():
            pass
    assert "ping" not in connection.asked
    monkeypatch.setattr(pools, "REST_SECONDS", -1.0)
    with engine.connect():
        pass
    assert connection.asked.count("ping") == 1


def test_a_transaction_is_ended_once(engine: Engine, connection: Connection) -> None:
    with engine.begin():
        pass
    assert connection.asked == ["commit"]
    connection.asked.clear()
    with engine.connect() as used, used.begin() as transaction:
        transaction.rollback()
    assert connection.asked == ["rollback"]


def test_what_a_failed_statement_locks_is_let_go(engine: Engine, connection: Connection) -> None:
    for _ in range(2):
        with pytest.raises(sqlalchemy.exc.IntegrityError), engine.begin() as used:
            used.exec_driver_sql("INSERT INTO a VALUES (1)")
    assert connection.asked == ["rollback", "rollback"]


def test_a_database_that_shuts_down_is_asked_for_no_rollback(
    engine: Engine, connection: Connection
) -> None:
    sqlalchemy.event.listen(engine, "handle_error", bad_input._tell)
    connection.fails = pymysql.err.OperationalError(1053, "Server shutdown in progress")
    with pytest.raises(sqlalchemy.exc.OperationalError) as raised, engine.begin() as used:
        used.exec_driver_sql("SELECT 1")
    assert raised.value.connection_invalidated
    assert connection.asked == []
