"""In the server's pod: what its user can do in MySQL, and what it cannot; prints it as JSON."""

import json
import os

import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

url = sqlalchemy.make_url(os.environ["MLFLOW_BACKEND_STORE_URI"])
auth = sqlalchemy.make_url(os.environ["MLFLOW_AUTH_DATABASE_URI"])
root = url.set(username="root", password=os.environ.pop("ROOT_PASSWORD"))


def outcome(statement: str, url: sqlalchemy.URL = url) -> str:
    """Return how a statement ended: well, or with MySQL's code."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        return str(error.orig.args[0] if error.orig else error)
    return "done"


# In this order: one makes what the next uses.
MAY = {
    "make a table": "create table rights (id int)",
    "change it": "alter table rights add name text",
    "write": "insert into rights values (1, 'a')",
    "read": "select * from rights join experiments",
    "drop it": "drop table rights",
}
MAY_NOT = {
    "read everybody's passwords": "select * from mysql.user",
    "make a user": "create user other identified by 'a'",
    "become root": "grant all on *.* to mlflow",
    "change root's password": "alter user root@localhost identified by 'a'",
    "give its rights away": "grant select on mlflow.* to root@localhost",
    "make a database": "create database other",
    "drop somebody else's database": "drop database mysql",
    "enter the system's database": "use mysql",
    "look at what others do": "select * from sys.session",
    "write a file in the pod": "select 1 into outfile '/tmp/a'",
    "copy a file of the pod into a table": "load data infile '/etc/passwd' into table tags",
    "change the server's settings": "set global max_connections = 1",
    "... and keep them": "set persist max_connections = 1",
    "log everybody's statements": "set global general_log = on",
    "load a library": "install plugin a soname 'a.so'",
    "add a component": "install component 'file://component_query_attributes'",
    "write functions in C": "create function f returns integer soname 'a.so'",
    "follow another server": "change replication source to source_host = 'a'",
    "shut the server down": "shutdown",
    "make files elsewhere": "create tablespace other add datafile 'a.ibd'",
}
said = {what: outcome(statement) for what, statement in MAY_NOT.items()}
said["log in as root, with its password"] = outcome("select 1", root)
may = {what: outcome(statement) for what, statement in MAY.items()}
may["use the users' database"] = outcome("select 1", auth)
print(json.dumps({"may": may, "may not": said}))
