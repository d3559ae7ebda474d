"""How much memory the processes of a pod take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness import pod_processes

# Often enough to see what lasts for a part of a transfer; reading it takes the kernel some 5 ms.
_EVERY_SECONDS = 0.3


@dataclass
class Memory:
    """The share of memory (PSS) of a pod's processes, watched by a thread."""

    pod: dict[str, Any]
    seen: list[float] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while something is done."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_EVERY_SECONDS):
                self._look()

        self._look()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _look(self) -> None:
        self.seen.append(sum(map(pod_processes.memory, pod_processes.of_pod(self.pod))) / 1024)

    @property
    def most(self) -> float:
        """The most at any time, in MiB."""
        return max(self.seen)

    @property
    def last(self) -> float:
        """That of the last look, in MiB."""
        return self.seen[-1]

    @property
    def growth(self) -> float:
        """How much more than at first, in MiB."""
        return max(self.seen) - self.seen[0]
