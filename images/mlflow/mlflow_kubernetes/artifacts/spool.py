"""Bytes of an upload that wait to be sent: in memory if they are few, or else in /tmp.

A part of an upload waits until the client has sent all of it, which may take hours. The parts of a
few dozen slow clients would fill a server's memory.
"""

import asyncio
import tempfile
from io import BytesIO
from typing import IO

from mlflow_kubernetes.artifacts.streams import piece

_BLOCK = 256 * 1024


class Content:
    """A file that gives larger blocks than it is asked for.

    urllib3 sends a body in blocks of 16 KiB, and has no setting for that behind botocore. Each
    block costs a system call, and some of Python.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes: up to ``size``, or up to a block if ``size`` is less."""
        return self._file.read(size if size < 0 else max(size, _BLOCK))


class Spool:
    """Bytes that wait in memory while they are few. More bytes go to a file in /tmp, in pieces."""

    def __init__(self, most: int) -> None:
        """Keep up to ``most`` bytes in memory: fewer, the more transfers are under way."""
        self.size = 0
        self._most = most
        self._waiting = BytesIO()
        self._file: IO[bytes] | None = None

    def write(self, chunk: bytes) -> None:
        """Add to the end."""
        if self._keep(chunk):
            self._flush()

    async def add(self, chunk: bytes) -> None:
        """Add to the end. A thread writes to the file, because a disk may let its writer wait."""
        if self._keep(chunk):
            await asyncio.to_thread(self._flush)

    def rewound(self) -> Content:
        """Return what was added as a file, to be read from its begin."""
        if self._file is not None:
            self._flush()
        file = self._file or self._waiting
        file.seek(0)
        return Content(file)

    def close(self) -> None:
        """Free the memory, and remove the file."""
        self._waiting.close()
        if self._file is not None:
            self._file.close()

    def _keep(self, chunk: bytes) -> bool:
        """Add to what waits, and return whether that is a whole piece, which has to go to the file.

        A thread costs more than the writing of one chunk.
        """
        self.size += len(chunk)
        self._waiting.write(chunk)
        return self._waiting.tell() > piece(self._most)

    def _flush(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (close() closes the file)
        self._file.write(self._waiting.getbuffer())
        self._waiting = BytesIO()
