"""Artifacts that pass through a server in pieces, and the memory that the pieces take."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

# Bytes that the pieces of all transfers of a process may take. A transfer has a few pieces: one
# that is read, one that is written, and those between.
_SHARED = 16 * 1024 * 1024
_LEAST = 64 * 1024


def _nothing() -> None:
    pass


changed: Callable[[], None] = _nothing
"""Called when a transfer has begun or ended."""

_under_way: set[object] = set()


@dataclass(frozen=True)
class Artifact:
    """A stored file at one moment."""

    size: int
    """Bytes."""
    tag: str
    """Differs when the content does; printable ASCII without quotes."""
    modified: datetime
    """When the content was stored, in UTC and whole seconds."""


class StreamDownloadMixin(ABC):
    """Artifact repositories that give an artifact in pieces; patches/downloads.py serves them.

    Every method raises MlflowException where there is no such file, before the first piece.
    """

    @abstractmethod
    def find_artifact(self, path: str) -> Artifact:
        """Return size and version of a file, without its content."""

    @abstractmethod
    def open_artifact(self, path: str) -> tuple[Artifact, Iterator[bytes]]:
        """Return size and version of a file, and its content."""

    @abstractmethod
    def open_part(self, path: str, artifact: Artifact, start: int, stop: int) -> Iterator[bytes]:
        """Return the bytes from ``start`` to before ``stop`` of a file that was found before.

        Raises MlflowException if the file has been replaced since.
        """


@contextmanager
def transfer() -> Generator[None]:
    """Count a transfer for as long as it is under way."""
    this = object()
    _under_way.add(this)
    changed()
    try:
        yield
    finally:
        _under_way.discard(this)
        changed()


def piece(most: int) -> int:
    """Return how many bytes a transfer may hold in one piece: fewer, the more are under way."""
    return max(_LEAST, min(most, _SHARED // max(1, len(_under_way))))
