"""What several plugin tests need."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Return a function that waits until something is true."""

    def wait(done: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not done():
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.05)

    return wait
