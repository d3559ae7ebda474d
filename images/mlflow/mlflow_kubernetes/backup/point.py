"""A moment to go back to: which base backup and which segments of the WAL archive bring it back.

PostgreSQL writes every change to its write-ahead log (WAL), whose files are segments of 16 MiB. A
base backup and all segments since then bring back any moment after it.

    databases/<stamp>/base.tar.gz   the base backup, a file of the backup <stamp>
    wal/<system>/<segment>.gz       a segment of the server with that system identifier
    wal/<system>/<segment>.partial.gz   the segment that is being written
    wal/<system>/until              the moment up to which the archive has everything
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from mlflow_kubernetes.backup import connections, manifest
from mlflow_kubernetes.backup.manifest import BASE, Base, Manifest, UnreadableError
from mlflow_kubernetes.backup.target import Target

WAL = "wal"
UNTIL = "until"
FOLDER = Path("/work/point")
"""Where the databases' own program finds what to recover (components, database_tools.py)."""
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_SEGMENT = re.compile(r"([0-9A-F]{24})(\.partial)?\.gz")
_SEGMENTS_PER_FILE = 0x100
"""Segments of 16 MiB for each 4 GiB of WAL, which the middle 8 digits of a name count."""
_CLOCKS_DIFFER = timedelta(minutes=1)


class Segments(NamedTuple):
    """Segments that follow each other without a gap."""

    names: list[str]
    """Names of files in the archive, without their ending `.gz`."""
    whole: bool
    """Whether no segment after these is in the archive."""


def parsed(text: str) -> datetime:
    """Return a moment such as `2026-11-27T10:15:00Z`, with a fraction of the second if need be.

    Raises:
        ValueError: if the text is no such moment.
    """
    whole, dot, fraction = text.removesuffix("Z").partition(".")
    if not text.endswith("Z"):
        raise ValueError(text)
    return datetime.strptime(f"{whole}.{fraction if dot else '0'}Z", _FORMAT).replace(tzinfo=UTC)


def shown(when: datetime) -> str:
    """Return a moment as `parsed` reads it."""
    text = when.astimezone(UTC).strftime(_FORMAT)
    return text.replace(".000000Z", "Z")


def chosen(target: Target, when: datetime) -> Manifest:
    """Return the newest backup with a base backup that was complete at a moment.

    Raises:
        UnreadableError: if there is none, or the archive does not reach to that moment.
    """
    stamps = target.backups()
    based = [one for one in map(target.manifest, stamps) if "base" in one]
    before = [one for one in based if manifest.moment(one["taken"]) <= when]
    if not before:
        oldest = f"; the oldest is {based[0]['taken']}" if based else ""
        raise UnreadableError(
            f"no backup before {shown(when)} has a base backup{oldest}: expected "
            "mlflow:backupPointInTime to be true then"
        )
    found = before[-1]
    system = found["base"]["system"]
    until = reached(target, system)
    if until is None or when > until:
        known = "is empty" if until is None else f"reaches to {shown(until)}"
        raise UnreadableError(f"the WAL archive {known}: {shown(when)} is later")
    segments(target, found["base"], bound(based, found, when))
    return found


def reached(target: Target, system: str) -> datetime | None:
    """Return the moment up to which the archive of a server has everything; None if unknown."""
    if UNTIL not in target.files(f"{WAL}/{system}"):
        return None
    return parsed(target.run("cat", f"backup:{WAL}/{system}/{UNTIL}").strip())


def span(target: Target, backups: Iterable[Manifest]) -> str:
    """Return one line on the moments that can be brought back; nothing where there are none.

    Args:
        target: the backup target.
        backups: the backups, the oldest first.
    """
    based = [one for one in backups if "base" in one]
    until = reached(target, based[-1]["base"]["system"]) if based else None
    if until is None:
        return ""
    first = next(one for one in based if _of(one, based[-1]["base"]["system"]))
    return f"AT: moments from {shown(manifest.moment(first['taken']))} to {shown(until)}\n"


def bound(based: Iterable[Manifest], found: Manifest, when: datetime) -> str | None:
    """Return the segment after which nothing of a moment can be; None if no backup tells.

    Args:
        based: the backups with a base backup, the oldest first.
        found: the backup of that moment.
        when: the moment, by the clock of the database.
    """
    for one in based:
        # A base backup begins with a checkpoint, at a time that another clock has told.
        base = manifest.base_backup(one)
        later = manifest.moment(base["began"]) > when + _CLOCKS_DIFFER
        if later and base["system"] == manifest.base_backup(found)["system"]:
            return base["start"]
    return None


def segments(target: Target, base: Base, last: str | None = None) -> Segments:
    """Return the segments of the archive that follow a base backup.

    Args:
        target: the backup target.
        base: the base backup.
        last: the last segment that is needed; None for all there are.

    Raises:
        UnreadableError: if the base backup's own segment is not in the archive.
    """
    there = archived(target.files(f"{WAL}/{base['system']}"))
    wanted = [name for name in there if name >= base["start"] and (last is None or name <= last)]
    names = list(following(base["start"], wanted))
    if not names:
        raise UnreadableError(
            f"the WAL archive lacks segment {base['start']}, with which the base backup begins"
        )
    return Segments([there[name] for name in names], len(names) == len(wanted))


def archived(files: Iterable[str]) -> dict[str, str]:
    """Return the files that are segments, without `.gz`, by the segment's name and in order.

    Of a segment that is there as a whole, what is there in part is left out.
    """
    found: dict[str, str] = {}
    for match in filter(None, map(_SEGMENT.fullmatch, sorted(files))):
        found.setdefault(match[1], match[1] + (match[2] or ""))
    return found


def following(first: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the segments that follow each other without a gap, from the first one on."""
    expected = first
    for name in sorted(names):
        if name != expected:
            return
        yield name
        expected = after(name)


def after(name: str) -> str:
    """Return the name of the segment after a segment."""
    timeline, file, number = (int(name[at : at + 8], 16) for at in (0, 8, 16))
    file, number = divmod(file * _SEGMENTS_PER_FILE + number + 1, _SEGMENTS_PER_FILE)
    return f"{timeline:08X}{file:08X}{number:08X}"


def fetch(target: Target, found: Manifest, when: datetime | None, folder: Path = FOLDER) -> int:
    """Write what brings back a moment to a folder, for the databases' own program.

    Args:
        target: the backup target.
        found: the backup of the moment.
        when: the moment; None for the newest one that the archive has.
        folder: is made.

    Returns:
        The number of segments.
    """
    base = manifest.base_backup(found)
    folder.mkdir(mode=0o700)
    (folder / WAL).mkdir()
    last = None
    if when is not None:
        based = [one for one in map(target.manifest, target.backups()) if "base" in one]
        last = bound(based, found, when)
        # PostgreSQL reads a time zone at the end, and no `Z` in it.
        (folder / UNTIL).write_text(shown(when).replace("T", " ").replace("Z", "+00"))
    names, whole = segments(target, base, last)
    source = f"backup:{WAL}/{base['system']}"
    listed = "".join(f"{name}.gz\n" for name in names)
    target.run("copy", "--files-from-raw=-", source, str(folder / WAL), stdin=listed)
    for partial in (folder / WAL).glob("*.partial.gz"):
        partial.rename(partial.with_name(partial.name.replace(".partial", "")))
    if whole:
        (folder / "whole").touch()
    services = "".join(
        f"[{name}]\nhost={FOLDER}\nuser=postgres\ndbname={database}\n"
        for name, database in base["databases"].items()
    )
    connections.write(folder / "pg_service.conf", services)
    target.run("copyto", f"backup:databases/{found['taken']}/{BASE}", str(folder / BASE))
    if manifest.described(folder / BASE) != found["files"][BASE]:
        raise UnreadableError(f"backup {found['taken']}: {BASE} is not what was saved")
    return len(names)


def prune(target: Target, kept: Sequence[str], keep: float) -> int:
    """Remove the segments that no kept base backup needs; return how many there were.

    Args:
        target: the backup target.
        kept: names of the backups that stay.
        keep: age in seconds from which on the archive of a server without a base backup is removed.
    """
    removed = 0
    systems = target.folders(WAL)
    manifests = [target.manifest(name) for name in kept] if systems else []
    for system in systems:
        place = f"backup:{WAL}/{system}"
        starts = [manifest.base_backup(one)["start"] for one in manifests if _of(one, system)]
        if not starts:
            target.run("delete", f"--min-age={keep:.0f}s", place)
            continue
        files = target.files(f"{WAL}/{system}")
        old = [name for name in files if (m := _SEGMENT.fullmatch(name)) and m[1] < min(starts)]
        if old:
            listed = "".join(f"{name}\n" for name in old)
            target.run("delete", "--files-from-raw=-", place, stdin=listed)
        removed += len(old)
    return removed


def _of(one: Manifest, system: str) -> bool:
    return "base" in one and one["base"]["system"] == system
