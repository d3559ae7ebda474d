"""The exports, evaluated by real shells."""

import subprocess

import pytest

from commands.support.console import CommandError
from commands.support.shell_exports import exports

NASTY = 'it\'s $HOME `id` "x" \\ ; rm -rf *\nsecond line'


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("value", ["", "plain", "with space", NASTY, "'", "-n", "ünïcode"])
def test_a_shell_reads_back_exactly_the_value(shell: str, value: str) -> None:
    script = exports({"VALUE": value}) + 'printf "%s" "$VALUE"'
    shown = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == value


def test_every_value_is_in_quotes() -> None:
    assert exports({"B": "two", "A": 1}) == "export A='1'\nexport B='two'\n"


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A;reboot", "A\n"])
def test_a_name_that_a_shell_could_misread_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="not a name"):
        exports({name: "x"})
