"""How the stand-in for the official MySQL image starts, with MySQL's programs played.

The real programs, users and volumes are shown by every end-to-end run on the lab.
"""

from pathlib import Path

import pytest

from tests.unit.lab import entrypoints

ENTRYPOINT = Path(__file__).parents[3] / "lab/standins/mysql/docker-entrypoint.sh"
# Each program writes its name and arguments, and mysql what it is told; mysqld makes the folder.
PLAYED = """#!/bin/bash
name=$(basename "$0")
case "$name $*" in
  *--initialize-insecure*) mkdir "$DATA/mysql" ;;
esac
echo "$name $*" >> "$CALLS"
[[ $1 == --defaults-extra-file=* ]] && cat "${1#--defaults-extra-file=}" >> "$CALLS"
[[ $name == mysql ]] && cat >> "$CALLS"
exit 0
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return entrypoints.image_of(tmp_path, ("mysqld", "mysql", "mysqladmin"), PLAYED)


def start(image: Path, *command: str, **variables: str) -> tuple[int, str, list[str]]:
    data = {"DATA": str(image / "data")}
    return entrypoints.start(ENTRYPOINT, image, command, data | variables)


def test_the_first_start_makes_user_and_database_on_a_socket_then_serves(image: Path) -> None:
    command = f"mysqld --datadir={image}/data"
    code, _, calls = start(
        image,
        *command.split(),
        **{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_ROOT_HOST": "localhost"},
        **{"MYSQL_USER": "me", "MYSQL_PASSWORD": "mine", "MYSQL_DATABASE": "my_own"},
    )
    assert code == 0
    assert calls[:7] == [
        f"{command} --initialize-insecure",
        f"{command} --daemonize --skip-networking",
        "mysql --user=root",
        "SET @@SESSION.SQL_LOG_BIN=0;",
        "CREATE DATABASE IF NOT EXISTS `my_own`;",
        "CREATE USER 'me'@'%' IDENTIFIED BY 'mine';",
        r"GRANT ALL ON `my\_own`.* TO 'me'@'%';",
    ]
    assert calls[7] == "ALTER USER 'root'@'localhost' IDENTIFIED BY 'secret';"
    assert calls[8].startswith("mysqladmin --defaults-extra-file=/dev/fd/")
    assert calls[8].endswith(" --user=root shutdown")
    assert calls[9:] == ["[client]", 'password="secret"', command]


def test_root_may_come_from_anywhere_unless_told_otherwise(image: Path) -> None:
    command = ("mysqld", f"--datadir={image}/data")
    _, _, calls = start(image, *command, **{"MYSQL_ROOT_PASSWORD": "secret"})
    assert "CREATE USER 'root'@'%' IDENTIFIED BY 'secret';" in calls


def test_a_later_start_only_serves(image: Path) -> None:
    (image / "data/mysql").mkdir(parents=True)
    command = ["mysqld", f"--datadir={image}/data"]
    assert start(image, *command) == (0, "", [" ".join(command)])


def test_a_first_start_without_a_password_is_refused(image: Path) -> None:
    code, error, calls = start(image, "mysqld", f"--datadir={image}/data")
    assert (code, calls) == (1, [])
    assert "MYSQL_ROOT_PASSWORD is not set" in error


def test_any_other_command_runs_as_it_is(image: Path) -> None:
    assert start(image, "mysql", "-V")[2] == ["mysql -V"]
    assert not (image / "data").exists()
