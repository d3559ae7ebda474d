"""Which segments of the WAL archive bring a moment back: the names alone, without PostgreSQL."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from mlflow_kubernetes.backup import manifest, point, verify
from mlflow_kubernetes.backup.manifest import Manifest
from mlflow_kubernetes.backup.target import Target

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def based(when: datetime, start: str, system: str = "7") -> Manifest:
    base = {"system": system, "start": start, "began": manifest.stamp(when), "databases": {}}
    return cast("Manifest", {"taken": manifest.stamp(when), "base": base})


class There:
    """A target with these files."""

    def __init__(self, *files: str) -> None:
        self._files = list(files)

    def files(self, place: str) -> list[str]:
        assert place == "wal/7"
        return self._files

    def run(self, *arguments: str) -> str:
        assert arguments == ("cat", "backup:wal/7/until")
        return "2026-11-27T15:00:00Z"


@pytest.mark.parametrize(
    ("name", "next_one"),
    [
        ("000000010000000000000001", "000000010000000000000002"),
        ("0000000100000000000000FF", "000000010000000100000000"),
        ("00000001000000FF000000FF", "000000010000010000000000"),
    ],
)
def test_the_name_of_the_next_segment(name: str, next_one: str) -> None:
    assert point.after(name) == next_one


def test_segments_are_taken_up_to_a_gap_and_a_whole_one_before_a_part() -> None:
    names = ["0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000"]
    files = [f"{name}.gz" for name in names]
    there = cast("Target", There(*files, f"{names[1]}.partial.gz", "until"))
    base = based(NOON, names[0])["base"]
    assert point.segments(there, base) == (names, True)
    assert point.segments(there, base, names[1]) == (names[:2], True)
    gap = cast("Target", There(files[0], files[2]))
    assert point.segments(gap, base) == (names[:1], False)
    last = cast("Target", There(files[0], f"{names[1]}.partial.gz"))
    assert point.segments(last, base) == ([names[0], f"{names[1]}.partial"], True)
    with pytest.raises(manifest.UnreadableError, match=f"lacks segment {names[0]}"):
        point.segments(cast("Target", There(*files[1:])), base)


def test_a_later_base_backup_of_the_same_server_bounds_what_is_needed() -> None:
    first = based(NOON, "000000010000000000000001")
    other = based(NOON + timedelta(hours=1), "000000010000000000000002", system="8")
    later = based(NOON + timedelta(hours=2), "000000010000000000000003")
    every = [first, other, later]
    when = NOON + timedelta(minutes=30)
    assert point.bound(every, first, when) == "000000010000000000000003"
    # Clocks differ: a base backup seconds after the moment says nothing.
    assert point.bound(every, first, NOON + timedelta(hours=2, seconds=-9)) is None


def test_the_moments_that_can_come_back_are_told() -> None:
    backups = [
        based(NOON, "000000010000000000000001", system="8"),
        based(NOON + timedelta(hours=1), "000000010000000000000001"),
        based(NOON + timedelta(hours=2), "000000010000000000000002"),
    ]
    there = cast("Target", There("until"))
    line = "AT: moments from 2026-11-27T13:00:00Z to 2026-11-27T15:00:00Z\n"
    assert point.span(there, backups) == line
    assert point.span(cast("Target", There()), backups) == ""
    assert point.span(there, []) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-27T10:15:00Z", "2026-11-27T10:15:00Z"),
        ("2026-11-27T10:15:00.5Z", "2026-11-27T10:15:00.500000Z"),
    ],
)
def test_a_moment_is_read_and_shown(text: str, shown: str) -> None:
    assert point.shown(point.parsed(text)) == shown


@pytest.mark.parametrize("text", ["2026-11-27T10:15:00", "yesterday", "2026-13-01T00:00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^{text}$|^time data"):
        point.parsed(text)


def test_a_base_backup_is_counted_after_it_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = {
        **based(NOON, "000000010000000000000001"),
        "files": {"runs.dump": {}, manifest.BASE: {}},
        "databases": {},
    }

    class WithBackup(There):
        def backups(self) -> list[str]:
            return [backup["taken"]]

        def download(self, name: str, folder: Path, *, without: set[str]) -> dict[str, Any]:
            assert (name, without) == (backup["taken"], {manifest.BASE})
            assert folder.is_dir()
            return backup

    told: list[str] = []

    def fetch(*_: object) -> int:
        told.append(capsys.readouterr().out)
        return 1

    monkeypatch.setattr(verify, "DUMPS", tmp_path / "dumps")
    monkeypatch.setattr(verify, "CONNECTIONS", tmp_path)
    monkeypatch.setattr(point, "fetch", fetch)
    verify._fetch(cast("Target", WithBackup("until")))
    assert f"backup {backup['taken']}: 1 files have the size and sha256" in told[0]
    assert "fetched the base backup and 1 segments" in capsys.readouterr().out
