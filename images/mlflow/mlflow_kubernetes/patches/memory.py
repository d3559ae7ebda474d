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

# Bytes of an upload that uvicorn reads before the application asks for them. With its default of
# 64 KiB, uvicorn pauses the connection at each read.
_READ_AHEAD = 1024 * 1024
# Much longer than the call of the C library, which takes some milliseconds.
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
