"""Notices that something in the cluster has changed, for whoever then reads it whole."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lightkube import Client

from lab import kinds

RETRY_SECONDS = 1

log = logging.getLogger("changes")


class Changes:
    """Watches some kinds of objects; ``seen`` is set when one of them may have changed."""

    def __init__(self, client: Client, watched: Sequence[tuple[type[Any], dict[str, Any]]]) -> None:
        self._client = client
        self._watched = watched
        self.seen = threading.Event()

    def start(self) -> None:
        """Watch from now on."""
        kinds.prepare(*(kind for kind, _ in self._watched))
        for kind, scope in self._watched:
            threading.Thread(target=self._watch, args=(kind, scope), daemon=True).start()

    def read(self) -> Iterator[list[Any]]:
        """Return all objects of each kind, in the order in which the kinds were given."""
        return (list(self._client.list(kind, **scope)) for kind, scope in self._watched)

    def _watch(self, kind: type[Any], scope: dict[str, Any]) -> None:
        # An event only says "look again": what is there is then read whole, so that no event that
        # was missed, or came twice, can leave something wrong behind.
        while True:
            try:
                for _ in self._client.watch(kind, **scope):
                    self.seen.set()
            except Exception as error:  # whatever ended the watch, the next one starts over
                log.debug("watch of %s: %s", kind.__name__, error)
            time.sleep(RETRY_SECONDS)
