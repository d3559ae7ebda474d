"""MLflow's pages in a real browser."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import clients

# No error: what changed its size meanwhile is told in the next frame (W3C, Resize Observer, 3.4.6).
LATE = "ResizeObserver loop completed with undelivered notifications"


def look(
    machine: clients.Machine, user: Mapping[str, str], url: str, screenshot: Path, *words: str
) -> Any:
    expected = [part for word in words for part in ("--word", word)]
    return machine.run(
        "look_at_page.py",
        *(url, "--screenshot", str(screenshot), *expected),
        client_env=user,
        seconds=150,
    )
