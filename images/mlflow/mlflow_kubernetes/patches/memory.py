"""A worker's memory for transfers follows their number, and goes back to the system.

The C library keeps freed memory between blocks that are in use: hundreds of MiB after many
transfers at once. With MALLOC_MMAP_THRESHOLD_ the C library would map each large block by itself.
Because the system clears each mapped block, uploads would then take far more processor time.
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
