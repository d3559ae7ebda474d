"""Runs other programs with a time limit, and keeps their output."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]
# In front of a command whose process must end when the tests are killed.
ENDS_WITH_US = ("setpriv", "--pdeathsig=KILL")
# Limits of time end programs that hang. Beside other tests on two slow cores, programs took up to
# five times as long as alone, so each limit is multiplied.
_PATIENCE = 3


class ProgramError(RuntimeError):
    """A program failed or took too long; the text has its whole output."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    seconds: float,
    stdin: str = "",
    folder: Path = CLONE,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        environment: all variables of the program.
        seconds: how long the program takes at most on a machine without other work. It is ended
            after three times as long.
        stdin: what the program reads.
        folder: where the program runs.
        check: whether a failure of the program is an error.

    Raises:
        ProgramError: if the program takes too long, or with ``check`` if it fails.
    """
    with subprocess.Popen(
        command,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(stdin, timeout=seconds * _PATIENCE)
        except subprocess.TimeoutExpired as late:
            said = [
                part.decode() if isinstance(part, bytes) else part
                for part in (late.output, late.stderr)
            ]
            raise ProgramError(
                f"{' '.join(command)}: not over after {seconds * _PATIENCE} s: {said}"
            ) from None
        finally:
            if process.returncode is None:
                _kill_session(process.pid)
    answer = subprocess.CompletedProcess(command, process.wait(), output, errors)
    if check and answer.returncode:
        raise ProgramError(
            f"{' '.join(command)}: exit status {answer.returncode}\n"
            f"{answer.stdout}\n{answer.stderr}"
        )
    return answer


def _kill_session(leader: int) -> None:
    """End all processes of a session: Pulumi's plugins have process groups of their own."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):  # it may just have ended
            if os.getsid(int(process.name)) == leader:
                os.kill(int(process.name), signal.SIGKILL)
