"""2,000 random settings: refused in clear lines, or rendered to objects that Kubernetes accepts."""

import re

from settings import SETTINGS
from tests.rendered import anything, kubeconform
from tests.rendered.examples import EXAMPLES, outcome


def test_no_example_ends_in_anything_but_a_refusal_or_objects() -> None:
    some = EXAMPLES / 5
    assert len(outcome().refused) + outcome().accepted == EXAMPLES
    assert len(outcome().refused) > some, "hardly any was wrong"
    assert outcome().accepted > some, "hardly any was right"


def test_each_line_names_a_setting_and_what_is_accepted_and_no_secret() -> None:
    for text in outcome().refused:
        assert anything.HIDDEN not in text
        for line in text.split("\n"):
            assert line.isprintable(), line
            found = re.match(r"mlflow:(\w+): (.+); accepted: (.+)$", line)
            assert found, line
            assert found[1] in SETTINGS, line


def test_every_release_takes_whatever_was_accepted() -> None:
    assert kubeconform.refused(outcome().manifests) == []
