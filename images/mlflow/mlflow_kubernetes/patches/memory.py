"""What transfers take of a worker's memory follows their number, and goes back to the system.

The C library keeps what is freed between blocks that are in use: hundreds of MiB after many
transfers at once. With MALLOC_MMAP_THRESHOLD_ it would map each large block by itself, which the
system clears each time: uploads would take far more of a processor.
"""

import ctypes
import threading
from typing import Any

from uvicorn.protocols.http import h11_impl

from mlflow_kubernetes.artifacts import streams

# What is read of an upload before the application asks for it. With uvicorn's 64 KiB it stops at
# each read, and goes on at the next.
_READ_AHEAD = 1024 * 1024
# Long enough that what is asked of the C library, some milliseconds, is nothing beside it.
_AFTER_SECONDS = 2.0

_waiting = threading.Lock()
_trim: Any = ctypes.CDLL(None).malloc_trim


def install() -> None:
    """Set how far uvicorn reads ahead, and return freed memory after each transfer."""
    h11_impl.HIGH_WATER_LIMIT = _READ_AHEAD
    streams.changed = _changed


def _changed() -> None:
    h11_impl.HIGH_WATER_LIMIT = streams.piece(_READ_AHEAD)
    if _waiting.acquire(blocking=False):
        timer = threading.Timer(_AFTER_SECONDS, _give_back)
        timer.daemon = True
        timer.start()


def _give_back() -> None:
    _waiting.release()
    _trim(0)
