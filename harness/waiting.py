"""Waits for a condition."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float, what: str, every: float = 0.5) -> T:
    """Call ``condition`` until its answer is true, and return that answer.

    An OSError or a RuntimeError counts as an answer that is not true.

    Raises:
        AssertionError: after ``seconds``, with ``what`` and the last answer.
    """
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
