"""Our line in the hosts file, and everyone else's."""

from pathlib import Path

import pytest

from commands.support import hosts_file

THEIRS = "127.0.0.1\tlocalhost\n::1 ip6-localhost # theirs\n\n10.0.0.9 printer\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "hosts"
    file.write_text(THEIRS)
    return file


def test_a_line_is_added_once_and_replaced(file: Path) -> None:
    hosts_file.put("198.18.255.2 old.local", file)
    hosts_file.put("198.18.255.2 a.local b.local", file)
    added = file.read_text().removeprefix(THEIRS)
    assert added.startswith("198.18.255.2 a.local b.local  #")
    assert added.count("\n") == 1


def test_removing_leaves_what_was_there(file: Path) -> None:
    hosts_file.put("198.18.255.2 a.local", file)
    hosts_file.remove(file)
    assert file.read_text() == THEIRS


def test_removing_nothing_writes_nothing(file: Path) -> None:
    before = file.stat().st_mtime_ns
    hosts_file.remove(file)
    assert file.stat().st_mtime_ns == before


def test_the_file_stays_the_same_file(file: Path) -> None:
    before = file.stat().st_ino
    hosts_file.put("198.18.255.2 a.local", file)
    assert file.stat().st_ino == before


def test_lines_added_after_ours_are_kept(file: Path) -> None:
    hosts_file.put("198.18.255.2 a.local", file)
    with file.open("a") as stream:
        stream.write("10.0.0.10 scanner\n")
    hosts_file.remove(file)
    assert file.read_text() == THEIRS + "10.0.0.10 scanner\n"
