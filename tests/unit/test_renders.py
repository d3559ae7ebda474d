"""The objects of every variant, compared with the noted ones."""

import json

from tests.renders import NOTED, digest
from tests.variants import VARIANTS


def test_every_variant_asks_for_what_was_noted() -> None:
    noted = json.loads(NOTED.read_text())
    changed = [str(one) for one in VARIANTS if noted.get(str(one)) != digest(one)]
    assert changed == [], (
        "if that was meant, `python -m tests.renders --note` notes it, and the commit says why"
    )
    assert [*noted] == [str(one) for one in VARIANTS]
