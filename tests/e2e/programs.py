"""Run other programs as a user would, each with a time limit, and keep what they said."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]


class ProgramError(RuntimeError):
    """A program failed or took too long; the text is all that it said."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    seconds: float,
    stdin: str = "",
    folder: Path = CLONE,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    try:
        answer = subprocess.run(
            command,
            env=dict(environment),
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = [
            part.decode() if isinstance(part, bytes) else part
            for part in (late.output, late.stderr)
        ]
        raise ProgramError(f"{' '.join(command)}: not over after {seconds} s: {said}") from None
    if check and answer.returncode:
        raise ProgramError(
            f"{' '.join(command)}: exit status {answer.returncode}\n"
            f"{answer.stdout}\n{answer.stderr}"
        )
    return answer
