"""The contents that the ledger's clients write, computed from their names."""

import random


def metric(step: int, key: int) -> float:
    """Return the value of one metric at one step."""
    return step + key / 16  # exact in binary, so that every database returns an equal number


def text(name: str) -> str:
    """Return the value of a param, a tag or a span of this name."""
    return f"value of {name} äöü"


def artifact(name: str, size: int) -> bytes:
    """Return the bytes of an artifact; files of different names differ."""
    return random.Random(name).randbytes(size)  # noqa: S311 (noise, no secret)
