"""What a database's pod says of its volume before the server starts, with the programs played.

tests/e2e/shared_stack/test_kept_data.py runs the check on a real volume, with the real program.
"""

import os
import subprocess
from pathlib import Path

import pytest

from components.backend_stores import mysql, postgres

POSTGRES = "postgres (PostgreSQL) {}.6 (Debian {}.6-1.pgdg13+1)"
MYSQL = "mysqld  Ver {} for Linux on x86_64 (MySQL Community Server - GPL)"
MARIADB = "mysqld  Ver 11.8.3-MariaDB-ubu2404 for debian-linux-gnu on x86_64"
HISTORY = '{"file_format":"1","upgrade_history":[%s]}'


def check(script: str, volume: Path, version: str, **variables: str) -> tuple[int, str]:
    """Return the exit status and the errors, where the image's program prints this version."""
    programs = volume.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("postgres", "mysqld"):
        (programs / name).write_text(f"#!/bin/sh\necho '{version}'\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(volume)],
        env={"PATH": f"{programs}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stdout
    return done.returncode, done.stderr


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    return tmp_path / "volume"


def postgres_check(volume: Path, major: int, data: str) -> tuple[int, str]:
    version = POSTGRES.format(major, major)
    return check(postgres.CHECK_VOLUME, volume, version, PGDATA=f"{volume}/{data}")


def hold(volume: Path, data: str, major: int) -> None:
    (volume / data / "base" / "1").mkdir(parents=True)
    for folder in (data, f"{data}/base/1"):
        (volume / folder / "PG_VERSION").write_text(f"{major}\n")


def test_postgresql_starts_on_its_own_data_and_on_nothing(volume: Path) -> None:
    assert postgres_check(volume, 18, "18/docker") == (0, "")
    hold(volume, "18/docker", 18)
    assert postgres_check(volume, 18, "18/docker") == (0, "")
    # `pg_upgrade --link` leaves the old data beside the new.
    hold(volume, "19/docker", 19)
    assert postgres_check(volume, 19, "19/docker/") == (0, "")


@pytest.mark.parametrize(
    ("major", "data"), [(19, "19/docker"), (17, "data"), (17, "18/docker"), (18, "other/place")]
)
def test_postgresql_makes_no_database_beside_another(volume: Path, major: int, data: str) -> None:
    hold(volume, "18/docker", 18)
    code, said = postgres_check(volume, major, data)
    assert code == 1
    assert said == (
        f"error: the volume has data of PostgreSQL 18 in {volume}/18/docker, and this image is "
        f"PostgreSQL {major} with its data in {volume}/{data}: take an image of PostgreSQL 18; "
        "see docs/moving-data.md\n"
    )


def test_postgresql_takes_no_data_that_an_upgrade_has_left(volume: Path) -> None:
    hold(volume, "18/former", 18)
    hold(volume, "19/docker", 19)
    assert postgres_check(volume, 19, "19/docker") == (0, "")
    code, said = postgres_check(volume, 18, "18/docker")
    assert code == 1
    assert f"data of PostgreSQL 19 in {volume}/19/docker" in said


def test_postgresql_without_a_program_on_the_path_looks_at_the_folders(volume: Path) -> None:
    hold(volume, "18/docker", 18)
    script = postgres.CHECK_VOLUME
    assert check(script, volume, "", PGDATA=f"{volume}/18/docker") == (0, "")
    assert check(script, volume, "", PGDATA=f"{volume}/19/docker")[0] == 1


@pytest.mark.parametrize(
    ("history", "program", "accepted"),
    [
        (["9.7.1"], MYSQL.format("9.7.1"), True),
        (["9.7.1"], MYSQL.format("9.7.0"), True),
        (["9.7.1"], MYSQL.format("10.1.0"), True),
        (["8.4.3", "9.7.1"], MYSQL.format("9.6.0"), False),
        (["9.10.0"], MYSQL.format("9.9.9"), False),
        (["10.1.0"], MYSQL.format("9.7.1"), False),
        (["9.7.1"], MARIADB, False),
    ],
)
def test_mysql_starts_on_no_newer_data(
    volume: Path, history: list[str], program: str, accepted: bool
) -> None:
    assert check(mysql.CHECK_VOLUME, volume, program) == (0, "")
    (volume / "data").mkdir()
    entries = ",".join(f'{{"date":"2026-11-26","version":"{one}"}}' for one in history)
    (volume / "data" / "mysql_upgrade_history").write_text(HISTORY % entries)
    code, said = check(mysql.CHECK_VOLUME, volume, program)
    assert code == (0 if accepted else 1)
    if not accepted:
        held = history[-1].rpartition(".")[0]
        assert said.startswith(f"error: the volume has data of MySQL {held}, and this image is ")
        assert said.count("\n") == 1
