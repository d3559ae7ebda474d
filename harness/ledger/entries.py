"""The entries of a ledger: acknowledged calls, and the other answers that clients got."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ARTIFACTS = "artifacts"
"""The one kind of write that needs the artifact store; every other kind is metadata."""


@dataclass(frozen=True)
class Entry:
    """One call of a client."""

    client: str
    kind: str
    began: float
    """Seconds since 1970."""
    took: float
    """Seconds until the answer."""
    refused: str
    """The answer in place of an acknowledgement; empty for an acknowledged call."""
    said: str
    """The words of the refusal."""

    @classmethod
    def of(cls, line: str) -> "Entry":
        """Return the call that a line of a ledger is about."""
        found: dict[str, Any] = json.loads(line)
        return cls(
            client=found["client"],
            kind=found["kind"],
            began=found["began"],
            took=found["took"],
            refused=found.get("refused", ""),
            said=found.get("said", ""),
        )

    @property
    def ended(self) -> float:
        """When the answer came, in seconds since 1970."""
        return self.began + self.took

    @property
    def sort(self) -> str:
        """``artifacts`` or ``metadata``."""
        return ARTIFACTS if self.kind == ARTIFACTS else "metadata"


class Tail:
    """The entries of a ledger that its clients are still writing."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.entries: list[Entry] = []
        self._read = 0

    def follow(self) -> list[Entry]:
        """Return all entries up to now."""
        with self.file.open("rb") as stream:
            stream.seek(self._read)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self.entries.append(Entry.of(line.decode()))
        return self.entries


def recovery(entries: Iterable[Entry], begin: float, end: float) -> float:
    """Return the longest time between ``begin`` and ``end`` without an acknowledged call.

    Calls that began before the fault may be acknowledged after it. So the first acknowledged call
    is not yet the recovery; the longest silence after the fault is.
    """
    times = sorted(
        one.ended for one in entries if not one.refused and begin <= one.ended and one.began <= end
    )
    moments = [begin, *times]
    return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)


def answers(entries: Iterable[Entry]) -> Counter[str]:
    """Return how often clients got each answer in place of an acknowledgement."""
    return Counter(f"{one.sort} {one.refused}" for one in entries if one.refused)


def slowest(entries: Iterable[Entry]) -> float:
    """Return the seconds of the longest call."""
    return max((one.took for one in entries), default=0.0)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)]
