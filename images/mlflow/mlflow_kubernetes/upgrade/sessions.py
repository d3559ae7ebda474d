"""Which other clients are connected to a database, and how those that are left over are ended."""

from typing import NamedTuple

from sqlalchemy.engine import Connection

IDLE_SECONDS = 10
"""How long a session of MLflow's own user may stay idle after the servers have ended."""

# A role without pg_read_all_stats sees of other roles' sessions their name alone. Autovacuum has no
# role. After a rotation, a session begins as the owner of the databases, who may see and end no
# sessions of the login itself.
_AS_LOGIN = "SET LOCAL ROLE NONE"
_OF_POSTGRESQL = """
SELECT pid, usename, coalesce(host(client_addr), 'an unknown address'),
       coalesce(application_name, ''), usename = current_user AND state = 'idle',
       extract(epoch FROM now() - state_change)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
  AND coalesce(backend_type, 'client backend') = 'client backend'
"""


class Session(NamedTuple):
    """A connection of another client."""

    id: int
    who: str
    """The client, as a person knows it: user, address, and application where it says one."""
    idle_seconds: float | None
    """For how long it has been idle outside of a transaction; None where it is not, or where it
    belongs to another user."""


def others(connection: Connection) -> list[Session]:
    """Return the sessions of other clients on the database of a connection."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_AS_LOGIN)
        rows = connection.exec_driver_sql(_OF_POSTGRESQL).all()
        return [
            Session(
                pid,
                f"user {user} at {address}{f' ({application})' if application else ''}",
                float(seconds or 0) if idle else None,
            )
            for pid, user, address, application, idle, seconds in rows
        ]
    if connection.dialect.name == "mysql":
        name, own = (
            connection.engine.url.database,
            connection.exec_driver_sql(
                "SELECT CONNECTION_ID(), SUBSTRING_INDEX(USER(), '@', 1)"
            ).one(),
        )
        # Without the privilege PROCESS, MySQL shows a user that user's own sessions alone.
        rows = connection.exec_driver_sql("SHOW FULL PROCESSLIST").all()
        return [
            Session(
                row.Id,
                f"user {row.User} at {row.Host.rpartition(':')[0] or row.Host}",
                float(row.Time or 0) if row.Command == "Sleep" and row.User == own[1] else None,
            )
            for row in rows
            if row.db == name and row.Id != own[0]
        ]
    return []


def end(connection: Connection, session: Session) -> None:
    """End an idle session of our own user: a pool in front of the database keeps such sessions."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_AS_LOGIN)
    statement = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
    connection.exec_driver_sql(statement[connection.dialect.name].format(session.id))
