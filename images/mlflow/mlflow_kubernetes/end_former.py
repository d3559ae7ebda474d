"""End what a rotation has replaced: logins of the database, keys of MinIO, encryption keys.

The program runs when every server has the new ones. Servers with the former ones may still finish
what is under way, so it waits for their end where there is something to end. A second run changes
nothing.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import sqlalchemy
from minio import MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from urllib3.exceptions import HTTPError

from mlflow_kubernetes import contract, provision_bucket
from mlflow_kubernetes.support import database
from mlflow_kubernetes.support.environment import fail, required, wait
from mlflow_kubernetes.support.former_keys import FormerKeys

_FORMER_ROLES = sqlalchemy.text(
    "SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname <> :current"
    " AND rolname ~ :pattern ORDER BY rolname"
)
# The probes of the database's own pod come from 127.0.0.1 and need no password.
_SESSIONS = (
    "FROM pg_stat_activity WHERE usename <> :current AND usename ~ :pattern"
    " AND client_addr IS NOT NULL AND host(client_addr) NOT IN ('127.0.0.1', '::1')"
)
_COUNT_SESSIONS = sqlalchemy.text(f"SELECT count(*) {_SESSIONS}")
_END_SESSIONS = sqlalchemy.text(f"SELECT count(pg_terminate_backend(pid)) {_SESSIONS}")
# MySQL's numbers of errors (https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html):
# a wrong name or password, a locked account.
_REFUSED = frozenset({1045, 3118})
_NO_SUCH_SESSION = 1094
_GOES_ON = "the next `pulumi up` goes on"


class Part(NamedTuple):
    """What one kind of password or key leaves to do."""

    pending: Callable[[], bool]
    """Says whether a former one is still good, or needed."""
    end: Callable[[], None]
    """Ends it."""


def main() -> None:
    """Wait for the end of the former servers, and end what they had."""
    runs = database.engine(contract.BACKEND_STORE_URI)
    database.wait_for(runs)
    parts = list(_parts())
    try:
        if not any(part.pending() for part in parts):
            print("nothing of a former password or key is left")
            return
        seconds = float(required(contract.FORMER_POD_SECONDS))
        print(f"servers with the former ones may finish for {seconds:.0f} s", flush=True)
        time.sleep(seconds)
        for part in parts:
            part.end()
    except SQLAlchemyError as error:
        fail(f"{database.place(runs)} refuses: {database.reason(error)}; {_GOES_ON}")
    except (MinioAdminException, HTTPError, ValueError) as error:
        reason = provision_bucket.reason(error)
        fail(f"the store does not remove its former keys: {reason}; {_GOES_ON}")


def _parts() -> Iterator[Part]:
    if any(FormerKeys.of(os.environ)):
        yield Part(_values_are_outdated, _encrypt_anew)
    if os.environ.get(contract.SUPERUSER_URI):
        yield Part(_logins_are_left, _end_logins)
    if os.environ.get(contract.FORMER_LOGINS):
        yield Part(lambda: bool(_good_logins()), _let_logins_end_themselves)
    if os.environ.get(contract.MINIO_USER):
        wait("the store", _store_problem)
        yield Part(lambda: bool(_former_keys()), _remove_keys)


def _values_are_outdated() -> bool:
    from mlflow_kubernetes.backup import keys  # noqa: PLC0415 (seconds, and all of MLflow)

    return bool(keys.outdated(database.engine(contract.BACKEND_STORE_URI), os.environ))


def _encrypt_anew() -> None:
    from mlflow_kubernetes.backup import keys  # noqa: PLC0415 (seconds, and all of MLflow)

    engine = database.engine(contract.BACKEND_STORE_URI)
    found = keys.encrypt_anew(engine, os.environ, os.environ)
    print(f"encrypted {found.renewed} secrets with the new keys", flush=True)
    for what in found.unreadable:
        print(f"{what} was readable with no key of this stack before: set it again", flush=True)


def _logins_are_left() -> bool:
    with _superuser() as connection:
        named = _of_former_logins()
        sessions = connection.execute(_COUNT_SESSIONS, named).scalar()
        return bool(connection.execute(_FORMER_ROLES, named).first() or sessions)


def _end_logins() -> None:
    """Take the passwords of the former roles away, and end their sessions.

    The first role owns the databases, and the probes of the server's pod log in as this role
    without a password. So no role is dropped.
    """
    named = _of_former_logins()
    with _superuser() as connection:
        roles = connection.execute(_FORMER_ROLES, named).scalars().all()
        for role in roles:
            quoted = connection.dialect.identifier_preparer.quote_identifier(role)
            connection.exec_driver_sql(f"ALTER ROLE {quoted} PASSWORD NULL")
        # Nobody can begin another session from here on.
        connection.commit()
        ended = connection.execute(_END_SESSIONS, named).scalar()
    print(f"users without a password now: {', '.join(roles) or 'no more than before'}", flush=True)
    print(f"sessions that were ended: {ended}", flush=True)


def _of_former_logins() -> dict[str, str]:
    """Return the values of the statements: MLflow's user, and a pattern of all of its users."""
    current = database.engine(contract.BACKEND_STORE_URI).url.username or ""
    return {"current": current, "pattern": f"^{re.sub('_[0-9]+$', '', current)}(_[0-9]+)?$"}


def _superuser() -> Connection:
    return database.engine(contract.SUPERUSER_URI).connect()


def _good_logins() -> dict[str, str]:
    """Return the passwords of the former logins that MySQL still lets in, by name."""
    former: dict[str, str] = json.loads(required(contract.FORMER_LOGINS))
    return {login: former[login] for login in former if _lets_in(login, former[login])}


def _lets_in(login: str, password: str) -> bool:
    try:
        _as_login(login, password).close()
    except DBAPIError as error:
        if _number(error) not in _REFUSED:
            raise
        return False
    return True


def _let_logins_end_themselves() -> None:
    """Give each former login a password that nobody knows, and end its sessions.

    A login may do both without any right. No login is dropped: triggers that it made run as this
    login (https://dev.mysql.com/doc/refman/9.7/en/stored-objects-security.html).
    """
    for login, password in _good_logins().items():
        with _as_login(login, password) as connection:
            unknown = secrets.token_urlsafe(32)
            connection.exec_driver_sql("ALTER USER USER() IDENTIFIED BY %s", (unknown,))
            # Nobody can begin another session from here on.
            ended = _end_own_sessions(connection)
        print(f"user {login} has no known password now; sessions that were ended: {ended}")


def _end_own_sessions(connection: Connection) -> int:
    """End the other sessions of the login of a connection; return how many they were."""
    own = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
    # Without the privilege PROCESS, MySQL shows a login that login's own sessions alone.
    found = connection.exec_driver_sql("SHOW PROCESSLIST").all()
    others = [row.Id for row in found if row.Id != own]
    for session in others:
        try:
            connection.exec_driver_sql("KILL %s", (session,))
        except DBAPIError as error:
            if _number(error) != _NO_SUCH_SESSION:
                raise
    return len(others)


def _as_login(login: str, password: str) -> Connection:
    return database.engine_of(login, password, contract.BACKEND_STORE_URI).connect()


def _number(error: DBAPIError) -> object:
    """Return the number of an error of MySQL."""
    return error.orig.args[0] if error.orig and error.orig.args else None


def _store_problem() -> str | None:
    try:
        _former_keys()
    except (MinioAdminException, HTTPError) as error:
        return provision_bucket.reason(error)
    return None


def _former_keys() -> list[str]:
    current = required(contract.S3_KEY)
    pattern = re.compile(rf"{re.escape(re.sub('-[0-9]+$', '', current))}(-[0-9]+)?")
    known: dict[str, object] = json.loads(_admin().user_list())
    return sorted(key for key in known if key != current and pattern.fullmatch(key))


def _remove_keys() -> None:
    for key in _former_keys():
        _admin().user_remove(key)
        print(f"the key {key} of the store is removed", flush=True)


def _admin() -> MinioAdmin:
    root = StaticProvider(required(contract.MINIO_USER), required(contract.MINIO_PASSWORD))
    return provision_bucket.client_of(MinioAdmin, required(contract.S3_ENDPOINT_URL), root)


if __name__ == "__main__":
    main()
