"""How the stand-in for the official PostgreSQL image starts, with PostgreSQL's programs played.

The real programs, users and volumes are shown by every end-to-end run on the lab.
"""

import os
import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[3] / "lab/standins/postgres/docker-entrypoint.sh"
# Each program writes its name, arguments and what it must not inherit; initdb makes the folder.
PLAYED = """#!/bin/bash
name=$(basename "$0")
echo "$name $* ${PGPASSWORD:+with PGPASSWORD}" >> "$CALLS"
[[ $name == initdb ]] && cat "${2#--pwfile=}" >> "$CALLS" && echo 18 > "$PGDATA/PG_VERSION"
[[ $name == postgres && $1 == -C ]] && echo scram-sha-256
[[ $name == id ]] && echo 999
exit 0
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("initdb", "pg_ctl", "psql", "postgres", "id"):
        (programs / name).write_text(PLAYED)
        (programs / name).chmod(0o755)
    (tmp_path / "calls").touch()
    return tmp_path


def start(image: Path, *command: str, **variables: str) -> tuple[int, str, list[str]]:
    """Return the code, the last line of the errors, and the programs that were called."""
    environment = {
        "PATH": f"{image / 'bin'}:{os.environ['PATH']}",
        "PGDATA": str(image / "data"),
        "CALLS": str(image / "calls"),
        **variables,
    }
    done = subprocess.run(
        [ENTRYPOINT, *command], env=environment, capture_output=True, text=True, check=False
    )
    calls = [line for line in (image / "calls").read_text().splitlines() if line[:2] != "id"]
    return done.returncode, (done.stderr.splitlines() or [""])[-1], calls


def test_the_first_start_makes_user_and_database_on_a_socket_then_serves(image: Path) -> None:
    code, _, calls = start(
        image,
        *("postgres", "-c", "max_connections=7"),
        **{"POSTGRES_USER": "me", "POSTGRES_DB": "mine", "POSTGRES_PASSWORD": "secret"},
    )
    assert code == 0
    assert calls[0].startswith("initdb --username=me --pwfile=/dev/fd/")
    assert calls[1] == "secret"
    assert calls[3:] == [
        f"pg_ctl --pgdata={image}/data --wait start -o -c max_connections=7"
        " -c listen_addresses= -p 5432  with PGPASSWORD",
        "psql --set ON_ERROR_STOP=1 --username me --no-password --no-psqlrc"
        " --dbname postgres --set db=mine with PGPASSWORD",
        f"pg_ctl --pgdata={image}/data --mode fast --wait stop with PGPASSWORD",
        "postgres -c max_connections=7 ",
    ]
    assert (image / "data/pg_hba.conf").read_text() == "\nhost all all all scram-sha-256\n"


def test_a_later_start_only_serves(image: Path) -> None:
    (image / "data").mkdir()
    (image / "data/PG_VERSION").write_text("18\n")
    assert start(image, "postgres") == (0, "", ["postgres  "])


def test_the_password_may_come_from_a_file(image: Path) -> None:
    (image / "password").write_text("from a file\n")
    code, _, calls = start(image, "postgres", POSTGRES_PASSWORD_FILE=str(image / "password"))
    assert (code, calls[1]) == (0, "from a file")


def test_a_password_given_twice_is_refused(image: Path) -> None:
    both = {"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/x"}
    code, error, calls = start(image, "postgres", **both)
    assert (code, calls) == (1, [])
    assert error == ("error: both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set: keep one")


def test_a_first_start_without_a_password_is_refused(image: Path) -> None:
    code, error, calls = start(image, "postgres")
    assert (code, calls) == (1, [])
    assert "POSTGRES_PASSWORD is not set" in error


def test_options_alone_mean_the_server(image: Path) -> None:
    (image / "data").mkdir()
    (image / "data/PG_VERSION").write_text("18\n")
    assert start(image, "-c", "x=1")[2] == ["postgres -c x=1 "]


@pytest.mark.parametrize("command", [("psql", "-l"), ("postgres", "--version")])
def test_any_other_command_runs_as_it_is(image: Path, command: tuple[str, ...]) -> None:
    assert start(image, *command)[2] == [" ".join(command) + " "]
    assert not (image / "data").exists()
