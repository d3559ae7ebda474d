"""A client that logs without a pause while its server is upgraded, and its answers.

The ledger's clients (harness/ledger) take calls that older releases of MLflow do not have.
"""

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness import clients
from harness.programs import ProgramError
from harness.waiting import wait_until

KINDS = ("metric", "param", "artifact")


class Logger:
    """A client that logs without a pause, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.acknowledged: Counter[str] = Counter()
        self.refused: list[str] = []
        """The lines of the calls that were not acknowledged."""
        self.last = ""
        self.longest_silence = 0.0
        """The longest time between two acknowledged calls, in seconds."""
        self.report: dict[str, Any] = {}
        """What the client read back at its end."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        before = time.monotonic()
        for line in self.process.stdout:
            kind = line.split()[0]
            self.acknowledged[kind] += 1
            self.last = line
            if kind == "failed":
                self.refused.append(line)
            if kind in KINDS:
                now = time.monotonic()
                self.longest_silence = max(self.longest_silence, now - before)
                before = now

    def logs_again(self, more: int = 5) -> None:
        """Wait until some more of everything is acknowledged."""
        wanted = {kind: self.acknowledged[kind] + more for kind in KINDS}

        def enough() -> bool:
            if self.process.poll() is not None:
                raise ProgramError("the client ended")
            return all(self.acknowledged[kind] >= number for kind, number in wanted.items())

        wait_until(enough, 120, f"{more} more of everything are logged; last line: {self.last!r}")

    def finish(self) -> None:
        """Have the client read everything back, and keep its report."""
        assert self.process.stdin is not None
        self.process.stdin.write("stop\n")
        self.process.stdin.close()
        self.process.wait(timeout=300)
        self._reader.join(timeout=10)
        self.report = json.loads(self.last)


@contextmanager
def logging_meanwhile(
    machine: clients.Machine, env: Mapping[str, str], *arguments: str
) -> Iterator[Logger]:
    """Have a client that logs; at the end, nothing that was acknowledged may be lost."""
    process = machine.start("log_until_told.py", *arguments, client_env=env)
    try:
        logger = Logger(process)
        logger.logs_again()
        yield logger
        logger.logs_again()
        logger.finish()
    finally:
        process.kill()
        process.wait()
    print(f"gap: {logger.longest_silence:.1f} s; {logger.report}")
    assert not any(logger.report["lost"].values())
    assert logger.report["failures"] == 0, logger.refused
