"""Kubernetes' kinds, made ready to be decoded by several threads."""

import msgspec
from lightkube.core.decoders import WatchEvent
from lightkube.models.meta_v1 import Status


def prepare(*kinds: type[object]) -> None:
    """Have msgspec learn what these kinds look like, before any thread needs to.

    It learns a kind when it first meets one, and two threads that make it learn at once end the
    process with a segmentation fault (msgspec 0.22: 5 of 30 tries with six threads, none after
    this).
    """
    for kind in (WatchEvent, Status, *kinds):
        msgspec.json.Decoder(kind)
