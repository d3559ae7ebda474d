"""A statement that is a transaction by itself, and so one round trip to PostgreSQL."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session

# Statements of the stores join one row that says whether a run may change to many rows. SQLAlchemy
# takes such a product for a mistake, and each worker would log it.
warnings.filterwarnings(
    "ignore", ".* statement has a cartesian product", SAWarning, r"mlflow_kubernetes\.stores\."
)


@contextmanager
def committing(session: Session) -> Generator[Connection]:
    """Give the session's connection, on which PostgreSQL commits each statement by itself.

    By SQLAlchemy's `isolation_level`, psycopg2 would send a statement before the next use. Other
    databases keep the transaction of the session.
    """
    connection = session.connection()
    if connection.dialect.driver != "psycopg2":
        yield connection
        return
    driver: Any = connection.connection.dbapi_connection
    driver.autocommit = True
    try:
        yield connection
    finally:
        if not driver.closed:
            driver.autocommit = False
