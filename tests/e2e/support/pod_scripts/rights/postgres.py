"""In the server's pod: what its user can do in PostgreSQL, and what not; prints it as JSON."""

import json
import os

import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

url = sqlalchemy.make_url(os.environ["MLFLOW_BACKEND_STORE_URI"])
auth = sqlalchemy.make_url(os.environ["MLFLOW_AUTH_DATABASE_URI"])


def outcome(statement: str, url: sqlalchemy.URL = url) -> str:
    """Return how a statement ended: well, or with PostgreSQL's code or words."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        # A connection that is refused has no code.
        return getattr(error.orig, "pgcode", None) or str(error.orig).partition("FATAL:")[2]
    return "done"


# In this order: one makes what the next uses.
MAY = {
    "make a table": "create table rights (id int)",
    "change it": "alter table rights add name text",
    "write": "insert into rights values (1, 'a')",
    "read": "select * from rights join experiments on true",
    "drop it": "drop table rights",
}
MAY_NOT = {
    "read everybody's passwords": "select * from pg_authid",
    "make a user": "create role other login",
    "become superuser": "alter role mlflow superuser",
    "act as the superuser": "set role postgres",
    "change the superuser's password": "alter role postgres password 'a'",
    "take on a role that reads all": "grant pg_read_all_data to mlflow",
    "make a database": "create database other",
    "drop somebody else's database": "drop database template1",
    "run a program on the node": "copy (select 1) to program 'id'",
    "read a file of the pod": "select pg_read_file('/etc/passwd')",
    "list the files of the pod": "select pg_ls_dir('/')",
    "copy a file of the pod into a table": "copy experiments from '/etc/passwd'",
    "write a file in the pod": "copy (select 1) to '/tmp/a'",
    "import a file of the pod": "select lo_import('/etc/passwd')",
    "change the server's settings": "alter system set max_connections = 1",
    "load a library": "load 'auth_delay'",
    "write functions in C": "create function f() returns int language c as '/a', 'b'",
    "reach other servers from there": "create extension dblink",
    "subscribe to another server": "create subscription s connection 'host=a' publication p "
    "with (connect = false)",
    "turn triggers and keys off": "set session_replication_role = replica",
    "copy the whole server": "select pg_create_physical_replication_slot('a')",
    "make files elsewhere": "create tablespace other location '/tmp'",
}
said = {what: outcome(statement) for what, statement in MAY_NOT.items()}
for other in ("postgres", "template1"):
    said[f"connect to database {other}"] = outcome("select 1", url.set(database=other))
may = {what: outcome(statement) for what, statement in MAY.items()}
may["use the users' database"] = outcome("select 1", auth)
print(json.dumps({"may": may, "may not": said}))
