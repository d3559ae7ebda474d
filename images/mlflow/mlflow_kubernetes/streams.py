"""What a store offers beyond MLflow's own interface, so that its downloads are never kept whole."""

from abc import ABC, abstractmethod
from collections.abc import Iterator


class StreamDownloadMixin(ABC):
    """Artifact repositories that give an artifact in pieces; downloads.py serves them."""

    @abstractmethod
    def open_artifact(self, path: str) -> tuple[int, Iterator[bytes]]:
        """Return the size of a file and its content, or raise before the first piece."""
