"""How commands end: a failure in one line, and an interruption that is passed on once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.support import console
from commands.support.console import CLONE, CommandError, main

INTERRUPTED = """
import os, sys
from commands.support.console import main, stream
main(lambda: stream([sys.executable, sys.argv[1], sys.argv[2]], dict(os.environ)))
"""
COUNTS_INTERRUPTIONS = """
import signal, sys, time
from pathlib import Path
count = 0
def note(number, frame):
    global count
    count += 1
signal.signal(signal.SIGINT, note)
Path(sys.argv[1]).write_text("ready")
while not count:
    time.sleep(0.01)
time.sleep(0.3)
Path(sys.argv[1]).write_text(str(count))
"""


def test_an_expected_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise CommandError("it is raining")

    with pytest.raises(SystemExit, match="1"):
        main(fail)
    assert capsys.readouterr().err == "error: it is raining\n"


@pytest.fixture
def heeded() -> Iterator[None]:
    """Undo what a shell does to programs that it starts in the background: ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whole_group", [True, False], ids=["terminal", "kill"])
def test_an_interruption_reaches_the_program_once(
    number: signal.Signals, whole_group: bool, tmp_path: Path
) -> None:
    program, told = tmp_path / "program.py", tmp_path / "told"
    program.write_text(COUNTS_INTERRUPTIONS)
    command = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(program), str(told)],
        cwd=CLONE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    deadline = time.monotonic() + 30
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    (os.killpg if whole_group else os.kill)(command.pid, number)
    _, error = command.communicate(timeout=30)
    assert told.read_text() == "1"
    assert command.returncode == 130
    assert error == "stopped; run the same command again to go on\n"


@pytest.mark.usefixtures("heeded")
def test_a_program_that_waits_in_vain_is_interrupted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_LOOK_SECONDS", 0.05)
    program, told = tmp_path / "program.py", tmp_path / "told"
    program.write_text(COUNTS_INTERRUPTIONS)
    command = [sys.executable, str(program), str(told)]
    assert console.stream(command, dict(os.environ), told.exists) == 0
    assert told.read_text() == "1"
