"""Verify the newest backup by restoring it: `python -m mlflow_kubernetes.backup.verify`.

The pod has an empty database server of its own, on a Unix socket. With the argument `fetch`, the
program downloads the backup and checks its files. The container after it restores the dumps. Then
the program, without arguments, compares the restored databases with the manifest, and reads
artifacts.
"""

import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import sqlalchemy
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from mlflow_kubernetes.backup import connections, manifest, point
from mlflow_kubernetes.backup.manifest import Database, Manifest, UnreadableError
from mlflow_kubernetes.backup.target import REMOVED, Target, TargetError
from mlflow_kubernetes.support import database
from mlflow_kubernetes.support.environment import fail, wait

DUMPS = Path("/work/dumps")
CONNECTIONS = Path("/connections")
RECOVERED = Path("/work/recovered")
"""Folder with what the WAL archive brings back, dumped by the container `recover`."""
SOCKETS = "/work/scratch"
"""Folder of the scratch server's Unix socket."""
MOST_READ = 1_000_000_000
"""Bytes of artifacts that are read; of more artifacts, files chosen at random are read."""


def main() -> None:
    """Fetch the newest backup, or compare what was restored of it."""
    fetches = sys.argv[1:] == ["fetch"]
    try:
        target = Target.from_environment()
        if fetches:
            _fetch(target)
        else:
            _compare(target, json.loads((DUMPS / manifest.MANIFEST).read_text()))
    except UnreadableError as error:
        fail(f"the newest backup is not good: {error}")
    except TargetError as error:
        # While it fetches, the target may just be away.
        what = "the backups cannot be read" if fetches else "the newest backup is not good"
        fail(f"{what}: {error}")


def _fetch(target: Target) -> None:
    names = target.backups()
    if not names:
        fail("there is no backup to verify: `make backup` makes one")
    DUMPS.mkdir(exist_ok=True)
    found = target.download(names[-1], DUMPS, without={manifest.BASE})
    (DUMPS / manifest.MANIFEST).write_text(json.dumps(found))
    addresses = {name: address(name, one) for name, one in found["databases"].items()}
    for file, content in connections.files(addresses).items():
        connections.write(CONNECTIONS / file, content)
    # The base backup is fetched and compared below.
    right = len(found["files"].keys() - {manifest.BASE})
    print(f"backup {names[-1]}: {right} files have the size and sha256 of the manifest", flush=True)
    if "base" in found:
        system, taken = found["base"]["system"], manifest.moment(found["taken"])
        wait("the WAL archive", lambda: _lacks(target, system, taken))
        number = point.fetch(target, found, None)
        print(f"fetched the base backup and {number} segments of the WAL archive", flush=True)


def _lacks(target: Target, system: str, when: datetime) -> str | None:
    """Return what the archive lacks for a moment; None if it lacks nothing."""
    until = point.reached(target, system)
    if until is None or until < when:
        return f"it does not reach to {point.shown(when)} yet"
    return None


def address(name: str, dumped: Database) -> URL:
    """Return the address of a database of the scratch server, for a dump."""
    if dumped["engine"].startswith("postgresql"):
        return URL.create("postgresql+psycopg2", "mlflow", database=name, query={"host": SOCKETS})
    socket = {"unix_socket": f"{SOCKETS}/mysqld.sock"}
    return URL.create("mysql+pymysql", "root", host="localhost", database=name, query=socket)


def _compare(target: Target, found: Manifest) -> None:
    started = time.monotonic()
    rows = 0
    for name, dumped in found["databases"].items():
        engine = sqlalchemy.create_engine(address(name, dumped), poolclass=NullPool)
        try:
            restored = rows_of(engine)
        except SQLAlchemyError as error:
            raise UnreadableError(f"{name}: {database.reason(error)}") from None
        for difference in manifest.row_differences(dumped["rows"], restored):
            raise UnreadableError(f"backup {found['taken']}, database of {name}: {difference}")
        rows += sum(restored.values())
    for name in found["databases"] if "base" in found else ():
        facts = (RECOVERED / f"{name}.facts").read_text().splitlines()
        recovered = manifest.facts_of(facts)["rows"]
        if absent := found["databases"][name]["rows"].keys() - recovered.keys():
            raise UnreadableError(
                f"backup {found['taken']}, database of {name}: the WAL archive brings back no table"
                f" {min(absent)}"
            )
        print(f"recovered {sum(recovered.values()):,} rows of {name} from the WAL archive")
    if manifest.KEYS in found["files"] and not json.loads((DUMPS / manifest.KEYS).read_text()):
        raise UnreadableError(f"backup {found['taken']}: {manifest.KEYS} has no keys")
    read, of = _read_artifacts(target, found)
    print(
        f"backup {found['taken']} is good: {rows:,} rows restored and counted, "
        f"{read:,} of {of:,} artifacts read, in {time.monotonic() - started:.0f} s",
        flush=True,
    )


def rows_of(engine: Engine) -> dict[str, int]:
    """Return the number of rows of each table of a database."""
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect() as connection:
        return {
            table: int(
                connection.exec_driver_sql(f"SELECT count(*) FROM {quote(table)}").scalar_one()  # noqa: S608
            )
            for table in sqlalchemy.inspect(engine).get_table_names()
        }


def _read_artifacts(target: Target, found: Manifest) -> tuple[int, int]:
    """Compare the list of artifacts with what is there, and read some; return how many of all.

    Raises:
        UnreadableError: if an artifact is missing or has another size.
        TargetError: if one cannot be read.
    """
    if "artifacts" not in found:
        return 0, 0
    expected = dict(listed())
    there = dict(target.list_artifacts())
    # What later backups found changed or removed is still the content of this one.
    later = [f"{REMOVED}/{name}" for name in target.removals() if name > found["taken"]]
    moved = set(target.list_artifacts(*later)) if later else set()
    for path, size in expected.items():
        if there.get(path) != size and (path, size) not in moved:
            state = f"has {there[path]} bytes" if path in there else "is missing"
            raise UnreadableError(f"artifact {path} {state}; expected {size} bytes")
    chosen = [path for path in expected if path in there]
    random.shuffle(chosen)
    total, picked = 0, list[str]()
    for path in chosen:
        total += there[path]
        if picked and total > MOST_READ:
            break
        picked.append(path)
    read = target.read_artifacts(picked) if picked else 0
    if read != len(picked):
        raise UnreadableError(f"{len(picked) - read} artifacts cannot be read")
    return read, len(expected)


def listed() -> Iterator[tuple[str, int]]:
    """Yield the path and the size in bytes of each artifact of the backup in ``DUMPS``."""
    with (DUMPS / manifest.ARTIFACTS).open() as lines:
        for line in lines:
            artifact = json.loads(line)
            yield artifact["path"], artifact["size"]


if __name__ == "__main__":
    main()
