"""How the stand-in for the official PostgreSQL image starts, with PostgreSQL's programs played.

The real programs, users and volumes are shown by every end-to-end run on the lab.
"""

from pathlib import Path

import pytest

from tests.unit.lab import entrypoints

ENTRYPOINT = Path(__file__).parents[3] / "lab/standins/postgres/docker-entrypoint.sh"
# Each program writes its name and arguments; initdb makes the folder.
PLAYED = """#!/bin/bash
name=$(basename "$0")
echo "$name $*" >> "$CALLS"
[[ $name == initdb ]] && cat "${3#--pwfile=}" >> "$CALLS" && mkdir "$PGDATA"
exit 0
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return entrypoints.image_of(tmp_path, ("initdb", "pg_ctl", "psql", "postgres"), PLAYED)


def start(image: Path, *command: str, **variables: str) -> tuple[int, str, list[str]]:
    data = {"PGDATA": str(image / "data")}
    return entrypoints.start(ENTRYPOINT, image, command, data | variables)


def test_the_first_start_makes_the_data_on_a_socket_then_serves(image: Path) -> None:
    command = ("postgres", "-c", "max_connections=7")
    code, _, calls = start(image, *command, **{"POSTGRES_PASSWORD": "secret"})
    assert code == 0
    assert calls[0].startswith(f"initdb --pgdata={image}/data --username=postgres --pwfile=/dev/fd")
    assert calls[1:] == [
        "secret",
        f"pg_ctl --pgdata={image}/data --wait start -o -c max_connections=7"
        " -c listen_addresses= -p 5432 ",
        f"pg_ctl --pgdata={image}/data --mode fast --wait stop",
        "postgres -c max_connections=7",
    ]
    assert (image / "data/pg_hba.conf").read_text() == "\nhost all all all scram-sha-256\n"


def test_a_later_start_only_serves(image: Path) -> None:
    (image / "data").mkdir()
    (image / "data/PG_VERSION").write_text("18\n")
    assert start(image, "postgres") == (0, "", ["postgres "])


def test_a_first_start_without_a_password_is_refused(image: Path) -> None:
    code, error, calls = start(image, "postgres")
    assert (code, calls) == (1, [])
    assert "POSTGRES_PASSWORD is not set" in error


def test_any_other_command_runs_as_it_is(image: Path) -> None:
    assert start(image, "psql", "-l")[2] == ["psql -l"]
    assert not (image / "data").exists()
