"""Random values of the kinds that several settings have."""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

HIDDEN = "n0t-to-be-sh0wn"
"""Part of every value that is a secret."""

LABEL = st.sampled_from(["a", "mlflow", "7", "ml-7", "a" * 63]) | st.from_regex(
    r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True
)
HOST = st.builds(
    lambda parts, last: ".".join([*parts, last]),
    st.lists(LABEL, min_size=1, max_size=3),
    st.sampled_from(["local", "example.com", "xn--p1ai", "a" * 60]),
)
NAME = st.lists(LABEL, min_size=1, max_size=3).map(".".join) | st.just("a." * 126 + "a")
TEXT = st.text(max_size=20)


def of(*values: str) -> SearchStrategy[str]:
    """Return one of some values."""
    return st.sampled_from(values)


def as_json(values: SearchStrategy[Any]) -> SearchStrategy[str]:
    """Return values as JSON."""
    return values.map(json.dumps)
