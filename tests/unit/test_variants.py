"""The variants of the stack: none is missing."""

from itertools import combinations

import pytest

from components._kubernetes.grammars import Refused
from settings.assembled import OWN_SECRETS
from settings.values import secret_name
from tests.unit.recorder import settings
from tests.variants import AXES, VARIANTS, objects


def test_every_two_choices_occur_together() -> None:
    together = {pair for variant in VARIANTS for pair in combinations(variant.choices, 2)}
    for one, other in combinations(AXES.values(), 2):
        assert {(a, b) for a in one for b in other} <= together
    assert str(VARIANTS[0]) == "default"


def test_every_switch_is_in_some_variant() -> None:
    """A new choice of a backend, or a new switch, is to be judged as well."""
    given = settings()
    seen = {key for one in VARIANTS for key in one.settings}
    switches = {
        key.removeprefix("mlflow:")
        for key, value in given.items()
        if key.startswith("mlflow:") and value in ("true", "false")
    }
    assert switches <= seen


def test_objects_are_plain_manifests() -> None:
    for found in objects(VARIANTS[0].render()):
        assert {"apiVersion", "kind", "metadata"} <= found.keys()
        if found["kind"] == "Secret":
            assert all(isinstance(value, str) for value in found["stringData"].values())


def test_no_setting_takes_the_name_of_a_secret_of_ours() -> None:
    """The stack would overwrite it; settings/values.py has a pattern for all these names."""
    found = [one for variant in VARIANTS for one in objects(variant.render())]
    ours = {one["metadata"]["name"] for one in found if one["kind"] == "Secret"}
    assert {"postgres-server", "s3-check-files"} <= ours
    for name in ours:
        with pytest.raises(Refused, match="does not write"):
            secret_name(name, OWN_SECRETS)
