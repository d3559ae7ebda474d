"""What a backup's manifest says of its files, and whether files are what it says.

A backup is a folder of files. The manifest `manifest.json` is written last, so that a folder
without it is an unfinished backup.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from sqlalchemy import make_url

from mlflow_kubernetes import contract
from mlflow_kubernetes.backup.connections import RUNS, USERS, write

FORMAT = 1
MANIFEST = "manifest.json"
ARTIFACTS = "artifacts.jsonl"
"""A line of JSON for each artifact that the backup's copy of the store had: path and size."""
KEYS = "keys.json"
"""The keys without which columns that MLflow encrypts cannot be read."""
BASE = "base.tar.gz"
"""A copy of all files of the PostgreSQL server, from which any moment after it is recovered."""
_KEYS = (contract.CRYPTO_PASSPHRASE, contract.WEBHOOK_KEY, contract.FORMER_KEYS)
_STAMP = "%Y%m%dT%H%M%SZ"
_BLOCK = 1024 * 1024
# mysqldump writes each INSERT on one line. Within quotes it escapes, and outside of them it writes
# no parenthesis but those around rows.
_INSERT = re.compile(rb"INSERT INTO `([^`]+)` VALUES ")
_TEXT = re.compile(rb"'(?:[^'\\]|\\.|'')*'")
_REVISION = re.compile(rb"INSERT INTO `(alembic_version\w*)` VALUES \('([0-9a-z_]+)'\)")
_TABLE = re.compile(rb"CREATE TABLE `([^`]+)`")
# The first line of `backup_label`: START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
_START = re.compile(r"^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)$", re.MULTILINE)
_SERVER = re.compile(rb"-- Server version\s+([0-9.]+)")


class UnreadableError(Exception):
    """A backup is damaged or of another kind; the text is one line."""


class Database(TypedDict):
    """What is known of one database's dump."""

    engine: str
    """Kind and version of the server, such as `postgresql 18.6`."""
    revisions: dict[str, str]
    """Revision of the schema, by the table that holds it."""
    rows: dict[str, int]
    """Number of rows in the dump, by table."""


class File(TypedDict):
    """What is known of one file."""

    size: int
    sha256: str


OF_REPLACED = frozenset({"restore", "rollback", "upgrade"})
"""Reasons of backups that another command makes of what it replaces."""


class Artifacts(TypedDict):
    """What the copy of the artifact store held when the backup was made."""

    files: int
    bytes: int
    problem: NotRequired[str]
    """Why not all files of the store were copied: the backup is not complete."""


class Base(TypedDict):
    """What is known of a base backup."""

    system: str
    """The server's system identifier, which no other server has."""
    start: str
    """Name of the WAL segment with which recovery begins."""
    began: str
    """When the base backup began, in the form of a backup's name."""
    databases: dict[str, str]
    """Name of the server's database, by `runs` and `users`."""


class Manifest(TypedDict):
    """Content of `manifest.json`."""

    format: int
    taken: str
    """When the backup began, and its name: `20261127T030000Z`, in UTC."""
    reason: str
    """Why it was made: `schedule`, `command`, or one of ``OF_REPLACED``."""
    mlflow: str
    """MLflow's version."""
    databases: dict[str, Database]
    """By `runs` and, where users have a database of their own, `users`."""
    files: dict[str, File]
    """Every file of the backup but the manifest."""
    artifacts: NotRequired[Artifacts]
    """Missing where artifacts were not to be copied. The file `artifacts.jsonl` lists them."""
    base: NotRequired[Base]
    """Missing where the backup has no base backup, which is the file `base.tar.gz`."""


def base_backup(found: Manifest) -> Base:
    """Return the base backup of a backup that has one.

    Raises:
        KeyError: if the backup has none.
    """
    if "base" not in found:
        raise KeyError("base")
    return found["base"]


def stamp(when: datetime) -> str:
    """Return the name of a backup that begins then."""
    return when.astimezone(UTC).strftime(_STAMP)


def moment(name: str) -> datetime:
    """Return when a backup began.

    Raises:
        ValueError: if the name is not that of a backup.
    """
    return datetime.strptime(name, _STAMP).replace(tzinfo=UTC)


def write_keys(folder: Path) -> None:
    """Write the keys that the environment has to `keys.json`."""
    found = {name: os.environ[name] for name in _KEYS if os.environ.get(name)}
    if found:
        write(folder / KEYS, json.dumps(found))


def describe(folder: Path, taken: str, reason: str) -> Manifest:
    """Return the manifest of the files in a folder, with dumps of `database_tools.dump`.

    The files `<name>.facts` are read, and removed.

    Raises:
        UnreadableError: if there is no dump.
    """
    databases: dict[str, Database] = {}
    for name in (RUNS, USERS):
        facts = folder / f"{name}.facts"
        if facts.exists():
            databases[name] = facts_of(facts.read_text().splitlines())
            facts.unlink()
        elif (dump := folder / f"{name}.sql").exists():
            databases[name] = facts_of_mysqldump(dump)
    if RUNS not in databases:
        raise UnreadableError(f"{folder} has no dump of the database of runs")
    facts = folder / "base.facts"
    base = base_of(facts.read_text()) if facts.exists() else None
    facts.unlink(missing_ok=True)
    written: Manifest = {
        "format": FORMAT,
        "taken": taken,
        "reason": reason,
        "mlflow": version("mlflow"),
        "databases": databases,
        "files": {file.name: described(file) for file in sorted(folder.iterdir())},
    }
    if base is not None:
        written["base"] = base
    return written


def facts_of(lines: list[str]) -> Database:
    """Return what the script of `database_tools` notes of a dump of PostgreSQL."""
    found: Database = {"engine": "", "revisions": {}, "rows": {}}
    for kind, name, value in (line.split("\t") for line in lines):
        match kind:
            case "engine":
                found["engine"] = f"{name} {value}"
            case "revision":
                found["revisions"][name] = value
            case _:
                found["rows"][name] = int(value)
    return found


def base_of(facts: str) -> Base:
    """Return what the script of `database_tools` notes of a base backup.

    The facts are lines of a name, a tab and a value, and PostgreSQL's own file `backup_label`.

    Raises:
        UnreadableError: if a fact is missing.
    """
    known = dict(line.split("\t", 1) for line in facts.splitlines() if "\t" in line)
    start = _START.search(facts)
    if start is None or not {"system", "began"} <= known.keys():
        raise UnreadableError("the base backup does not say where it begins")
    addresses = {RUNS: contract.BACKEND_STORE_URI, USERS: contract.AUTH_DATABASE_URI}
    return {
        "system": known["system"],
        "start": start[1],
        "began": known["began"],
        "databases": {
            name: make_url(os.environ[variable]).database or ""
            for name, variable in addresses.items()
            if os.environ.get(variable)
        },
    }


def facts_of_mysqldump(dump: Path) -> Database:
    """Return what a dump of mysqldump holds.

    Sessions of MySQL share no snapshot, so that the server cannot count what was dumped.
    """
    found: Database = {"engine": "mysql", "revisions": {}, "rows": {}}
    with dump.open("rb") as lines:
        for line in lines:
            if insert := _INSERT.match(line):
                rows = _TEXT.sub(b"", line[insert.end() :]).count(b"(")
                found["rows"][insert[1].decode()] += rows
                if revision := _REVISION.match(line):
                    found["revisions"][revision[1].decode()] = revision[2].decode()
            elif table := _TABLE.match(line):
                found["rows"].setdefault(table[1].decode(), 0)
            elif server := _SERVER.match(line):
                found["engine"] = f"mysql {server[1].decode()}"
    return found


def described(file: Path) -> File:
    """Return the size and the hash of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return {"size": file.stat().st_size, "sha256": digest.hexdigest()}


def read(text: str, taken: str) -> Manifest:
    """Return the manifest in a text.

    Raises:
        UnreadableError: if the text is not the manifest of the backup `taken`.
    """
    try:
        content: Any = json.loads(text)
    except ValueError:
        raise UnreadableError(f"the manifest of backup {taken} is damaged") from None
    if not isinstance(content, dict) or content.get("taken") != taken:
        raise UnreadableError(f"the manifest of backup {taken} is damaged")
    if content.get("format") != FORMAT:
        raise UnreadableError(
            f"backup {taken} has format {content.get('format')!r}; expected {FORMAT}: another"
            " release of this stack made the backup"
        )
    return cast("Manifest", content)


def differences(folder: Path, manifest: Manifest, without: Collection[str] = ()) -> Iterator[str]:
    """Yield a line for each file that is not as the manifest says; leave out those in `without`."""
    for name, expected in manifest["files"].items():
        if name in without:
            continue
        file = folder / name
        if not file.is_file():
            yield f"{name} is missing"
        elif described(file) != expected:
            yield f"{name} is not what was saved: its size or sha256 differs"


def row_differences(expected: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each table that has another number of rows than expected."""
    for table in sorted(expected.keys() | found.keys()):
        if expected.get(table) != found.get(table):
            yield (
                f"table {table} has {found.get(table, 'no')} rows; "
                f"expected {expected.get(table, 'none')}"
            )
