"""A client that logs without a pause, and the ways in which tests end a pod meanwhile."""

import re
import subprocess
import threading
import time
from collections import Counter

from harness.kubectl import Kubectl
from harness.programs import ProgramError
from harness.waiting import wait_until

KINDS = ("metric", "param", "artifact")


class Logger:
    """A client that logs without a pause, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.acknowledged: Counter[str] = Counter()
        self.last = ""
        self.longest_silence = 0.0
        """The longest time between two acknowledged calls, in seconds."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        before = time.monotonic()
        for line in self.process.stdout:
            kind = line.split()[0]
            self.acknowledged[kind] += 1
            self.last = line
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

    def finish(self) -> str:
        """Have it read everything back; return its report."""
        assert self.process.stdin is not None
        self.process.stdin.write("stop\n")
        self.process.stdin.close()
        self.process.wait(timeout=300)
        self._reader.join(timeout=10)
        return self.last


def delete_pod(kubectl: Kubectl, app: str) -> None:
    """Take a pod away with hardly any notice; another one has to take its place."""
    old = kubectl.pod(app)["metadata"]
    kubectl("delete", "pod", old["name"], "--grace-period=1", "--wait=false")
    wait_until(lambda: kubectl.pod(app)["metadata"]["uid"] != old["uid"], 90, f"a new {app} pod")


def container_ids(pod: dict[str, object]) -> list[str]:
    return sorted(re.findall(r"'containerID': '([^']+)'", str(pod["status"])))
