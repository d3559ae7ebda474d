"""Bytes of an upload that wait to be sent: in memory if they are few, or else in /tmp.

A part of an upload waits until the client has sent all of it, which may take hours. The parts of a
few dozen slow clients would fill a server's memory.
"""

import asyncio
import tempfile
from typing import IO

from mlflow_kubernetes.artifacts.streams import piece

_IN_MEMORY = 1024 * 1024


class Spool:
    """A file that is in memory while it is small, and is removed when it is closed."""

    def __init__(self) -> None:
        self.size = 0
        self._in_memory = piece(_IN_MEMORY)
        self._file = tempfile.SpooledTemporaryFile(self._in_memory)  # noqa: SIM115

    def write(self, chunk: bytes) -> None:
        """Add to the end."""
        self.size += len(chunk)
        self._file.write(chunk)

    async def add(self, chunk: bytes) -> None:
        """Add to the end; a disk may let its writer wait."""
        if self.size + len(chunk) <= self._in_memory:
            self.write(chunk)
        else:
            await asyncio.to_thread(self.write, chunk)

    def rewound(self) -> IO[bytes]:
        """Return the file, to be read from its begin."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Free the memory, or remove the file."""
        self._file.close()
