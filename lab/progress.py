"""What the lab tells its user: the steps that take time, and failures in one line."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager


class LabError(Exception):
    """A failure whose message is the one line that the user reads."""


def say(line: str) -> None:
    """Print one line for the user, away from output that a shell may evaluate."""
    print(f"lab: {line}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str, usual: str = "") -> Generator[None]:
    """Print that a step starts and how long it usually takes, and at its end how long it took."""
    say(f"{what}, usually {usual} ..." if usual else f"{what} ...")
    started = time.monotonic()
    yield
    say(f"{what}: done in {duration(time.monotonic() - started)}")


def duration(seconds: float) -> str:
    """Write a time span the way people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
