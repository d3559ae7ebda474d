"""How the programs of this package read their environment, wait for servers, and end."""

import os
import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

from mlflow_kubernetes import contract

_BEYOND_SECONDS = 5
_AGE = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def required(name: str) -> str:
    """Return a variable that the job cannot do without."""
    value = os.environ.get(name, "")
    if not value:
        fail(f"{name} is not set: there is no such key in {secrets_read()}")
    return value


def secrets_read() -> str:
    """Return the names of the Secrets of the environment, for a message: one may be missing."""
    return f"Secret {os.environ.get(contract.SECRETS_READ, 'of the job')}"


def timeout() -> float:
    """Return for how many seconds the job waits for its server."""
    value = os.environ.get(contract.TIMEOUT_SECONDS, "120")
    if not value.isascii() or not value.isdigit() or value == "0":
        fail(f"TIMEOUT_SECONDS is {value!r}: expected a whole number of seconds, 1 or more")
    return float(value)


def wait(what: str, problem: Callable[[], str | None], most: float | None = None) -> None:
    """Ask until there is no problem left, and end the program when that takes too long.

    Args:
        what: Names what is waited for.
        problem: Returns what is wrong, or None.
        most: Seconds to wait; those of the job by default.
    """
    seconds = timeout() if most is None else most
    deadline = time.monotonic() + seconds
    told = None
    while reason := problem():
        if time.monotonic() > deadline:
            fail(f"{what} did not answer within {seconds:.0f} s: {reason}")
        if reason != told:
            print(f"waiting for {what}: {reason}", flush=True)
            told = reason
        time.sleep(1)


def limit(what: str) -> threading.Timer:
    """End the Job when a server accepts a connection and never answers; some drivers wait for ever.

    Returns:
        The timer, which can be cancelled.
    """
    seconds = timeout() + _BEYOND_SECONDS

    def late() -> None:
        print(f"error: {what} did not answer within {seconds:.0f} s", file=sys.stderr, flush=True)
        os._exit(1)  # the main thread may wait in the driver's C code

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()
    return timer


def seconds(age: str) -> float:
    """Return an age such as ``30d`` or ``1d12h`` in seconds.

    Raises:
        ValueError: if it is none.
    """
    match = _AGE.fullmatch(age)
    if not match or not any(match.groups()):
        raise ValueError(age)
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=rest).total_seconds()


def one_line(error: object) -> str:
    """Fold a message of several lines into one."""
    return " ".join(str(error).split())


def fail(message: str) -> NoReturn:
    """End the job with one line."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(1)
