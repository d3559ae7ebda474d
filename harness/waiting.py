"""Wait for something to be so, and fail with what was seen instead."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float, what: str, every: float = 0.5) -> T:
    """Return the first true answer; an error while asking counts as one that is not true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := condition():
                return answer
            seen = repr(answer)
        except (OSError, RuntimeError) as error:
            seen = str(error)
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; last: {seen}"
        time.sleep(every)
