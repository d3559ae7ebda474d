"""How much memory the processes of a pod take."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness import pod_processes

# Often enough to see a peak within a transfer. A reading takes the kernel some 5 ms.
_EVERY_SECONDS = 0.3


@dataclass
class Memory:
    """The share of memory (PSS) of a pod's processes, watched by a thread."""

    pod: dict[str, Any]
    seen: list[float] = field(default_factory=list[float])

    @contextmanager
    def watched(self) -> Generator[None]:
        """Read the memory again and again while the block runs."""
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
        """The highest reading, in MiB."""
        return max(self.seen)

    @property
    def last(self) -> float:
        """The last reading, in MiB."""
        return self.seen[-1]

    @property
    def growth(self) -> float:
        """The highest reading less the first one, in MiB."""
        return max(self.seen) - self.seen[0]
