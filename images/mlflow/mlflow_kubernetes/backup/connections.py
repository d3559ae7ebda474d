"""Write the databases' logins for the databases' own programs: `... .backup.connections FOLDER`.

The program reads the addresses that MLflow reads. For PostgreSQL it writes `pg_service.conf` with a
section for each database; for MySQL an option file `<name>.cnf` and the database's name in
`<name>.database`. The file `databases` has the names, `runs` and, where users have a database of
their own, `users`. Passwords are in files that their owner alone reads.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from mlflow_kubernetes import contract
from mlflow_kubernetes.support.environment import fail, required

RUNS = "runs"
USERS = "users"
# Options of PyMySQL's addresses (SQLAlchemy's, too) that MySQL's own programs have by other names.
_MYSQL_FILES = {
    "ssl_ca": "ssl-ca",
    "ssl_capath": "ssl-capath",
    "ssl_cert": "ssl-cert",
    "ssl_key": "ssl-key",
    "ssl_cipher": "ssl-cipher",
    "unix_socket": "socket",
}


def main() -> None:
    """Write the files to the folder that is the only argument."""
    folder = Path(sys.argv[1])
    addresses = {RUNS: _address(contract.BACKEND_STORE_URI)}
    if os.environ.get(contract.AUTH_DATABASE_URI):
        addresses[USERS] = _address(contract.AUTH_DATABASE_URI)
    for name, content in files(addresses).items():
        write(folder / name, content)


def _address(variable: str) -> URL:
    try:
        return sqlalchemy.make_url(required(variable))
    except (ArgumentError, ValueError):
        # Their messages may quote a part of the address, and with it the password.
        fail(f"{variable} is not an address that SQLAlchemy reads: expected dialect+driver://...")


def write(file: Path, content: str) -> None:
    """Write a file that its owner alone reads."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(content)


def files(addresses: Mapping[str, URL]) -> dict[str, str]:
    """Return the content of each file, by name.

    Args:
        addresses: the addresses of the databases, by `runs` and `users`.
    """
    kinds = {address.get_backend_name() for address in addresses.values()}
    if len(kinds) > 1 or not kinds <= {"postgresql", "mysql"}:
        fail(
            f"the databases are {' and '.join(sorted(kinds))}: expected postgresql or mysql for all"
        )
    # Both may be one database: what is dumped twice would be restored twice.
    own = [name for name in addresses if name == RUNS or not _same(addresses)]
    written = {"databases": "".join(f"{name}\n" for name in own)}
    if kinds == {"postgresql"}:
        sections = [
            f"[{name}]\n{_service(name, address)}" for name, address in sorted(addresses.items())
        ]
        return written | {"pg_service.conf": "\n".join(sections)}
    for name, address in addresses.items():
        written[f"{name}.cnf"] = _options(address)
        written[f"{name}.database"] = f"{address.database}\n"
    return written


def _same(addresses: Mapping[str, URL]) -> bool:
    places = {
        (one.host, one.port, one.database, str(one.query.get("host", "")))
        for one in addresses.values()
    }
    return len(places) == 1


def _service(name: str, address: URL) -> str:
    """Return the keywords of libpq for an address; psycopg2 hands on all options as such.

    Source: https://www.postgresql.org/docs/current/libpq-pgservice.html
    """
    keywords = {
        "host": address.host,
        "port": address.port,
        "user": address.username,
        "password": address.password,
        "dbname": address.database,
        **{key: _last(value) for key, value in address.query.items()},
    }
    given = {key: str(value) for key, value in keywords.items() if value not in (None, "")}
    for key, value in given.items():
        # Such a file has no quotes: libpq cuts blanks at a line's end, and a line is one value.
        if value != value.strip() or "\n" in value:
            fail(f"the address of the database of {name}: {key} begins or ends with a blank")
    return "".join(f"{key}={value}\n" for key, value in given.items())


def _options(address: URL) -> str:
    """Return an option file of MySQL's programs for an address of PyMySQL.

    Source: https://dev.mysql.com/doc/refman/9.7/en/option-files.html
    """
    query = {key: _last(value) for key, value in address.query.items()}
    options = {
        "host": address.host,
        "port": address.port,
        "user": address.username,
        "password": address.password,
        **{option: query.get(key) for key, option in _MYSQL_FILES.items()},
        "ssl-mode": _ssl_mode(query),
    }
    lines = [
        f"{key}={_quoted(str(value))}\n"
        for key, value in options.items()
        if value not in (None, "")
    ]
    return "[client]\n" + "".join(lines)


def _ssl_mode(query: Mapping[str, str]) -> str | None:
    """Return what PyMySQL checks of a server, in the words of MySQL's programs."""
    if query.get("ssl_disabled", "").lower() in ("1", "true"):
        return "DISABLED"
    if "ssl_ca" in query or "ssl_capath" in query:
        lax = query.get("ssl_check_hostname", "").lower() in ("0", "false")
        return "VERIFY_CA" if lax else "VERIFY_IDENTITY"
    return None


def _quoted(value: str) -> str:
    """Return a value for an option file: quoted, or `#` would begin a comment."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _last(value: str | tuple[str, ...]) -> str:
    # The last one wins, for both drivers.
    return value if isinstance(value, str) else value[-1]


if __name__ == "__main__":
    main()
