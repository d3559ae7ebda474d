"""Restore a backup into the stack: `python -m mlflow_kubernetes.backup.restore fetch|finish|look`.

The pod that restores is a chain of containers (components/_kubernetes/database_tools.py). `fetch`
runs before the databases' own program, and `finish` after it. `look` runs alone: it lists the
backups, or says whether a backup can be restored, and changes nothing.
"""

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from mlflow_kubernetes import contract
from mlflow_kubernetes.backup import manifest, point
from mlflow_kubernetes.backup.connections import RUNS, USERS
from mlflow_kubernetes.backup.manifest import Manifest, UnreadableError
from mlflow_kubernetes.backup.target import ARTIFACTS, REMOVED, Target, TargetError
from mlflow_kubernetes.backup.verify import DUMPS, listed, rows_of
from mlflow_kubernetes.support import database
from mlflow_kubernetes.support.environment import fail, one_line

if TYPE_CHECKING:
    from mlflow_kubernetes.support.schemas import Schema

LATEST = "latest"
_OWN_DATABASES = Path("/connections/databases")
_VARIABLES = {RUNS: contract.BACKEND_STORE_URI, USERS: contract.AUTH_DATABASE_URI}
_ENGINES = {"postgresql": "PostgreSQL", "mysql": "MySQL"}
_NEWER = {"postgresql": 1, "mysql": 2}
"""How many parts of a version name a release: an older one does not read a newer one's dump."""
_AUTH_REVISION = "alembic_version_auth"
_LISTED = 20
_NONE = (
    "the passphrase of this stack opens no finished backup in the target: `make backup` makes one"
)


def main() -> None:
    """Do the part of a restore that the first argument names."""
    part, *arguments = sys.argv[1:] or [""]
    # Their readers are MLflow's developers, and the log of a Job is for its user.
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    parts = {"fetch": _fetch, "finish": _finish, "look": _look}
    if part not in parts:
        fail(f"{part!r}: expected fetch, finish or look")
    try:
        parts[part](*arguments)
    except (UnreadableError, TargetError) as error:
        fail(one_line(error))
    except SQLAlchemyError as error:
        fail(f"a database of the stack fails: {database.reason(error)}")


def _look(source: str = "") -> None:
    """List the backups; or print the name of the backup to restore, unless it is refused."""
    target = Target.from_environment()
    if not source:
        backups = [*_manifests(target)]
        print(table(backups) + point.span(target, backups), end="")
        return
    when = _moment()
    chosen = (
        point.chosen(target, when) if when else wanted(source, target.backups(), target.manifest)
    )
    _refuse(chosen)
    print(chosen["taken"])


def _fetch() -> None:
    """Copy artifacts to the store, and dumps to where the databases' own program finds them.

    A failure here leaves the databases as they were.
    """
    if not (name := os.environ.get(contract.RESTORE_FROM)):
        return  # this pod looks at the backups, or lists them
    target = Target.from_environment()
    chosen = target.manifest(name)
    _refuse(chosen)
    DUMPS.mkdir(mode=0o700)
    when = _moment()
    # The dumps of a moment are made of what is recovered.
    dumps = {f"{kind}.dump" for kind in chosen["databases"]} if when else set[str]()
    target.download(name, DUMPS, without=dumps | {manifest.BASE})
    (DUMPS / manifest.MANIFEST).write_text(json.dumps(chosen))
    if when:
        number = point.fetch(target, chosen, when)
        print(f"fetched base backup {name} and {number} segments of the WAL archive", flush=True)
    else:
        print(f"fetched the dumps of backup {name}: size and sha256 are right", flush=True)
    if "artifacts" not in chosen:
        print("the backup has no artifacts: those of the store stay as they are", flush=True)
        return
    if problem := chosen["artifacts"].get("problem"):
        print(f"the backup does not have all artifacts: {problem}", flush=True)
    files, number = chosen["artifacts"]["files"], chosen["artifacts"]["bytes"]
    print(f"copying {files} artifacts, {size(number)}", flush=True)
    places = folders(name, target.removals())
    # A file that the store has may be of the moment, or of later: it stays as it is.
    stored = target.put_artifacts(reversed(places) if when else places, missing=when is not None)
    for path, expected in listed():
        if path not in stored if when else stored.get(path) != expected:
            state = f"has {stored[path]} bytes" if path in stored else "is missing"
            fail(f"artifact {path} {state} in the store; expected {expected} bytes")
    sizes = "" if when else ", of the right sizes"
    print(f"copied the artifacts: the store has all {files}{sizes}", flush=True)


def _finish() -> None:
    """Compare what was restored with the backup, and make it this stack's own."""
    if not (name := os.environ.get(contract.RESTORE_FROM)):
        return
    chosen = manifest.read((DUMPS / manifest.MANIFEST).read_text(), name)
    rows = 0
    for kind, saved in chosen["databases"].items():
        expected = saved
        if (facts := DUMPS / f"{kind}.facts").exists():
            expected = manifest.facts_of(facts.read_text().splitlines())
        engine = database.engine(_VARIABLES[kind])
        database.wait_for(engine)
        differences = [*manifest.row_differences(expected["rows"], rows_of(engine))]
        if differences:
            fail(f"the database of {kind} is not what backup {name} has: {differences[0]}")
        rows += sum(expected["rows"].values())
    print(f"compared the numbers of rows: {rows} rows are there, as in the backup", flush=True)

    from mlflow_kubernetes import migrate  # noqa: PLC0415 (seconds, and all of MLflow)
    from mlflow_kubernetes.backup import keys  # noqa: PLC0415

    # The schema may be older than this MLflow, and the stack's own users have its passwords.
    migrate.main()
    old = (
        json.loads((DUMPS / manifest.KEYS).read_text()) if (DUMPS / manifest.KEYS).exists() else {}
    )
    renewed = keys.encrypt_anew(database.engine(contract.BACKEND_STORE_URI), old, os.environ)
    if renewed.renewed:
        print(f"encrypted {renewed.renewed} secrets with the keys of this stack", flush=True)
    for what in renewed.unreadable:
        print(f"{what} was not readable with the keys of the backup: set it again", flush=True)


def _moment() -> datetime | None:
    """Return the moment that the databases go back to; None where they go back to a backup."""
    text = os.environ.get(contract.RESTORE_AT)
    try:
        return point.parsed(text) if text else None
    except ValueError:
        fail(f"AT={text}: expected a moment in UTC such as 2026-11-27T10:15:00Z")


def wanted(source: str, backups: Collection[str], read: Callable[[str], Manifest]) -> Manifest:
    """Return the manifest of the backup that a user asks for: by its name, or `latest`.

    The latest one is the newest that a schedule or `make backup` made. Upgrades and restores save
    what they replace: nobody wants that back who has not seen it.

    Args:
        source: what the user asks for.
        backups: names of the finished backups.
        read: returns the manifest of a backup.
    """
    if not backups:
        fail(_NONE)
    newest_first = sorted(backups, reverse=True)
    if source != LATEST:
        if source not in backups:
            latest = ", ".join(reversed(newest_first[:3]))
            fail(f"there is no finished backup {source}; the latest are {latest}")
        return read(source)
    made = (read(name) for name in newest_first)
    latest_one = next((one for one in made if one["reason"] not in manifest.OF_REPLACED), None)
    if latest_one is None:
        fail(
            f"no backup was made by a schedule or by `make backup`; {newest_first[0]} is of what an"
            " upgrade or a restore has replaced: `make restore` lists such backups, and FROM names"
            " one"
        )
    return latest_one


def folders(name: str, removed: Collection[str]) -> list[str]:
    """Return the folders of the target that hold the artifacts of a backup, the first to be copied
    first.

    Later backups have moved to `removed/<stamp>` what they changed or removed. Of several, the
    oldest has what was there at the time of the backup.
    """
    later = sorted((stamp for stamp in removed if stamp > name), reverse=True)
    return [ARTIFACTS, *(f"{REMOVED}/{stamp}" for stamp in later)]


def refusal(
    chosen: Manifest,
    *,
    engine: str,
    version: tuple[int, ...],
    databases: Collection[str],
    known: Mapping[str, Collection[str]],
) -> str | None:
    """Return why a backup cannot be restored into these databases; None if it can.

    Args:
        chosen: the backup's manifest.
        engine: kind of the stack's database server, `postgresql` or `mysql`.
        version: version of that server.
        databases: `runs` and, where users have a database of their own, `users`.
        known: revisions of the schema that this MLflow knows, by the table with the revision.
    """
    name = f"backup {chosen['taken']}"
    for kind, saved in chosen["databases"].items():
        saved_engine, _, saved_version = saved["engine"].partition(" ")
        if saved_engine != engine:
            return (
                f"{name} is of {_ENGINES.get(saved_engine, saved_engine)}, and the stack's database"
                f" is {_ENGINES.get(engine, engine)}: expected a database of the same kind"
            )
        parts = _NEWER[engine]
        if _parsed(saved_version)[:parts] > version[:parts]:
            return (
                f"{name} is of {_ENGINES[engine]} {saved_version}, and the stack's server is"
                f" {'.'.join(map(str, version[:2]))}: expected the same release or a newer one"
            )
        for table, revision in saved["revisions"].items():
            if table in known and revision not in known[table]:
                return (
                    f"{name} was made with MLflow {chosen['mlflow']}, whose schema {revision} this"
                    " image does not know: set mlflow:serverImage to an image of that release or a"
                    " newer one"
                )
        if kind not in databases:
            return (
                f"{name} has a database of {kind}, and the stack has none of its own for {kind}:"
                " set mlflow:authDatabaseUri to another database"
            )
    if USERS in databases and _AUTH_REVISION in chosen["databases"][RUNS]["revisions"]:
        return (
            f"{name} has users in the database of runs, and the stack has a database of its own for"
            " users: set mlflow:authDatabaseUri to the address of mlflow:databaseUri"
        )
    return None


def _refuse(chosen: Manifest) -> None:
    """End the program where the backup cannot be restored, or would replace what is there."""
    from mlflow_kubernetes.support import schemas  # noqa: PLC0415 (seconds, and all of MLflow)

    runs = database.engine(contract.BACKEND_STORE_URI)
    database.wait_for(runs)
    own = _OWN_DATABASES.read_text().split()
    kinds = {RUNS: schemas.runs(), USERS: schemas.users()}
    with runs.connect() as connection:
        version = connection.dialect.server_version_info or ()
    problem = refusal(
        chosen,
        engine=runs.dialect.name,
        version=version,
        databases=own,
        known={one.version_table: revisions(one) for one in kinds.values()},
    )
    if problem:
        fail(problem)
    if os.environ.get(contract.RESTORE_OVERWRITE) == "yes":
        return
    stacks_own = json.loads(os.environ.get(contract.USERS, "{}"))
    for kind in own:
        if data := held(database.engine(_VARIABLES[kind]), kinds[kind], stacks_own):
            fail(
                f"the stack holds data ({data}): OVERWRITE=yes backs it up, and then replaces it"
                " by the backup"
            )


def revisions(schema: "Schema") -> set[str]:
    """Return every revision of a schema that this MLflow knows."""
    scripts = ScriptDirectory.from_config(schema.config(""))
    return {script.revision for script in scripts.walk_revisions()}


def held(engine: Engine, schema: "Schema", users: Collection[str]) -> str | None:
    """Return what a database holds beside what a new stack has by itself; None if it is nothing.

    Args:
        engine: the database.
        schema: the schema of the database.
        users: names of the stack's own users. Each has an experiment of the same name.
    """
    own = ", ".join(f"'{name}'" for name in ("", *users))
    by_itself = {
        **schema.no_data,
        "experiments": f"(experiment_id = 0 OR name IN ({own}))",
        "job_locks": "true",
        "scheduler_leases": "true",
    }
    if "users" in schema.tables:
        # Permissions and roles are those of users.
        by_itself = {table: "true" for table in schema.tables}
        by_itself["users"] = f"username IN ({own})"
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect() as connection:
        for table in sorted({*schema.tables} & {*sqlalchemy.inspect(engine).get_table_names()}):
            data = f"FROM {quote(table)} WHERE NOT {by_itself.get(table, 'false')}"
            if rows := connection.exec_driver_sql(f"SELECT COUNT(*) {data}").scalar_one():
                return f"{rows} rows in table {table}"
    return None


def table(backups: Sequence[Manifest]) -> str:
    """Return the backups as a table for people, the latest first."""
    if not backups:
        return f"{_NONE}\n"
    rows = [("FROM", "reason", "MLflow", "database", "dumps", "artifacts")]
    for one in reversed(backups):
        files = one["files"].items()
        dumps = sum(file["size"] for name, file in files if name != manifest.BASE)
        artifacts = "none"
        if "artifacts" in one:
            artifacts = f"{one['artifacts']['files']} files, {size(one['artifacts']['bytes'])}"
            artifacts += ", not all" if "problem" in one["artifacts"] else ""
        engine = one["databases"][RUNS]["engine"]
        rows.append((one["taken"], one["reason"], one["mlflow"], engine, size(dumps), artifacts))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def size(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _manifests(target: Target) -> Iterator[Manifest]:
    """Yield the manifests of the latest backups, the oldest first; tell which are damaged."""
    for name in target.backups()[-_LISTED:]:
        try:
            yield target.manifest(name)
        except UnreadableError as error:
            print(error, flush=True)


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


if __name__ == "__main__":
    main()
