"""Examples of random settings, each refused or rendered once, for all tests of the result."""

import functools
import json
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pulumi
import pytest

from settings.load import load
from tests.rendered import anything
from tests.unit.recorder import Recorded, configure, run_stack, settings
from tests.variants import ENCRYPTED, objects

NUMBERS = (400, pytest.param(2000, marks=pytest.mark.long))
"""How many examples there are, as parameters of tests."""


@dataclass
class Outcome:
    """What became of the examples."""

    refused: list[str] = field(default_factory=list)
    """What users would read."""
    accepted: int = 0
    manifests: list[dict[str, Any]] = field(default_factory=list)
    """Every object that the accepted ones ask for, each once."""


@functools.cache
def outcome(examples: int) -> Outcome:
    """Load each example as the program does, and render those that are accepted.

    Raises:
        Exception: if one fails in any way but to be refused; the smallest such example is told.
    """
    outcome = Outcome()
    rendered: set[str] = set()

    # The same examples each time: what is new is found where it was made, not by chance later.
    @hypothesis.settings(max_examples=examples, derandomize=True, deadline=None, database=None)
    @hypothesis.given(anything.settings())
    def one(changed: dict[str, Any]) -> None:
        encrypted = [key for key in ENCRYPTED if key in changed]
        configure(Recorded(), settings(**changed), encrypted)
        try:
            # All that the program does first; tests/unit shows that nothing was asked for by then.
            load()
        except pulumi.RunError as error:
            outcome.refused.append(str(error))
        else:
            outcome.accepted += 1
            found = objects(run_stack(*encrypted, **changed))
            rendered.update(json.dumps(manifest, sort_keys=True) for manifest in found)

    one()
    outcome.manifests = [json.loads(text) for text in sorted(rendered)]
    return outcome
