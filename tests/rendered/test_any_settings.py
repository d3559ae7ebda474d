"""Random settings: refused in clear lines, or rendered to objects that Kubernetes accepts."""

import re

import pytest

from settings.assembled import SETTINGS
from tests.rendered import anything, kubeconform
from tests.rendered.examples import NUMBERS, Outcome, outcome


@pytest.fixture(scope="module", params=NUMBERS)
def found(request: pytest.FixtureRequest) -> Outcome:
    return outcome(request.param)


@pytest.mark.parametrize("number", NUMBERS)
def test_no_example_ends_in_anything_but_a_refusal_or_objects(number: int) -> None:
    found = outcome(number)
    some = number / 5
    assert len(found.refused) + found.accepted == number
    assert len(found.refused) > some, "hardly any was wrong"
    assert found.accepted > some, "hardly any was right"


def test_each_line_names_a_setting_and_what_is_accepted_and_no_secret(found: Outcome) -> None:
    for text in found.refused:
        assert anything.HIDDEN not in text
        for line in text.split("\n"):
            assert line.isprintable(), line
            parts = re.match(r"mlflow:(\w+): (.+); accepted: (.+)$", line)
            assert parts, line
            assert parts[1] in SETTINGS, line


def test_every_release_takes_whatever_was_accepted(found: Outcome) -> None:
    assert kubeconform.refused(found.manifests) == []
