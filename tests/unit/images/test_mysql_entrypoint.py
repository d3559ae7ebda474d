"""How the stand-in for the official MySQL image starts, with MySQL's programs played.

The real programs, users and volumes are shown by every end-to-end run on the lab.
"""

import os
import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[3] / "lab/standins/mysql/docker-entrypoint.sh"
# Each program writes its name and arguments, and mysql what it is told; mysqld makes the folder.
PLAYED = """#!/bin/bash
name=$(basename "$0")
case "$name $*" in
  id*) echo 999; exit ;;
  *--help*) printf 'datadir %s\\nsocket %s\\n' "$DATA" "$DATA.socket/mysqld.sock"; exit ;;
  *--initialize-insecure*) mkdir "$DATA/mysql" ;;
esac
echo "$name $*" >> "$CALLS"
[[ $1 == --defaults-extra-file=* ]] && cat "${1#--defaults-extra-file=}" >> "$CALLS"
[[ $name == mysql ]] && cat >> "$CALLS"
exit 0
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("mysqld", "mysql", "mysqladmin", "id"):
        (programs / name).write_text(PLAYED)
        (programs / name).chmod(0o755)
    (tmp_path / "calls").touch()
    return tmp_path


def start(image: Path, *command: str, **variables: str) -> tuple[int, str, list[str]]:
    """Return the code, the last line of the errors, and what the programs were told."""
    environment = {
        "PATH": f"{image / 'bin'}:{os.environ['PATH']}",
        "DATA": str(image / "data"),
        "CALLS": str(image / "calls"),
        **variables,
    }
    done = subprocess.run(
        [ENTRYPOINT, *command], env=environment, capture_output=True, text=True, check=False
    )
    calls = (image / "calls").read_text().splitlines()
    return done.returncode, (done.stderr.splitlines() or [""])[-1], calls


def test_the_first_start_makes_user_and_database_on_a_socket_then_serves(image: Path) -> None:
    code, _, calls = start(
        image,
        *("mysqld", "--max-connections=7"),
        **{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_ROOT_HOST": "localhost"},
        **{"MYSQL_USER": "me", "MYSQL_PASSWORD": "mine", "MYSQL_DATABASE": "my_own"},
    )
    assert code == 0
    assert calls[:7] == [
        "mysqld --max-connections=7 --initialize-insecure",
        "mysqld --max-connections=7 --daemonize --skip-networking",
        "mysql --user=root",
        "SET @@SESSION.SQL_LOG_BIN=0;",
        "CREATE DATABASE IF NOT EXISTS `my_own`;",
        "CREATE USER 'me'@'%' IDENTIFIED BY 'mine';",
        r"GRANT ALL ON `my\_own`.* TO 'me'@'%';",
    ]
    assert calls[7] == "ALTER USER 'root'@'localhost' IDENTIFIED BY 'secret';"
    assert calls[8].startswith("mysqladmin --defaults-extra-file=/dev/fd/")
    assert calls[8].endswith(" --user=root shutdown")
    assert calls[9:] == ["[client]", 'password="secret"', "mysqld --max-connections=7"]


def test_root_may_come_from_anywhere_unless_told_otherwise(image: Path) -> None:
    _, _, calls = start(image, "mysqld", **{"MYSQL_ROOT_PASSWORD": "secret"})
    assert "CREATE USER 'root'@'%' IDENTIFIED BY 'secret';" in calls


def test_a_later_start_only_serves(image: Path) -> None:
    (image / "data/mysql").mkdir(parents=True)
    assert start(image, "mysqld") == (0, "", ["mysqld "])


def test_a_password_may_come_from_a_file(image: Path) -> None:
    (image / "password").write_text("from a file\n")
    code, _, calls = start(image, "mysqld", MYSQL_ROOT_PASSWORD_FILE=str(image / "password"))
    assert (code, calls[-2]) == (0, 'password="from a file"')


def test_a_password_given_twice_is_refused(image: Path) -> None:
    both = {"MYSQL_ROOT_PASSWORD": "a", "MYSQL_ROOT_PASSWORD_FILE": "/x"}
    code, error, calls = start(image, "mysqld", **both)
    assert (code, calls) == (1, [])
    assert error == (
        "error: both MYSQL_ROOT_PASSWORD and MYSQL_ROOT_PASSWORD_FILE are set: keep one"
    )


@pytest.mark.parametrize(
    ("variables", "offer"),
    [
        ({}, "MYSQL_ROOT_PASSWORD is not set"),
        ({"MYSQL_ROOT_PASSWORD": "a", "MYSQL_USER": "root"}, "a user other than root"),
    ],
)
def test_a_first_start_that_cannot_end_well_is_refused(
    image: Path, variables: dict[str, str], offer: str
) -> None:
    code, error, calls = start(image, "mysqld", **variables)
    assert (code, calls) == (1, [])
    assert offer in error


def test_options_alone_mean_the_server(image: Path) -> None:
    (image / "data/mysql").mkdir(parents=True)
    assert start(image, "--x=1")[2] == ["mysqld --x=1"]


@pytest.mark.parametrize("command", [("mysql", "-V"), ("mysqld", "--version")])
def test_any_other_command_runs_as_it_is(image: Path, command: tuple[str, ...]) -> None:
    assert start(image, *command)[2] == [" ".join(command)]
    assert not (image / "data").exists()
