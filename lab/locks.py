"""A lock that two runs on this machine do not hold at once."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lab.progress import say


@contextmanager
def held(file: Path, other: str = "") -> Generator[None]:
    """Hold the lock ``file`` while the block runs, and wait for the run that holds it.

    The kernel releases the lock of a killed run. A program that the block starts with
    ``close_fds=False`` keeps the lock until that program ends.

    Args:
        file: Made, with its folder, if it is missing.
        other: What the run that holds the lock does, for a line to the user who waits. If empty,
            there is no line.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if other:
                say(f"another run {other}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
