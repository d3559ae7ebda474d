"""An API server takes all that the program may ask for: names, sizes, addresses, and the rest that
schemas do not say.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from components._kubernetes.labels import NAMESPACE_LABELS
from harness.kubectl import Kubectl
from harness.programs import run
from tests.rendered.examples import NUMBERS, outcome
from tests.variants import VARIANTS, objects

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def kubectl(environment: dict[str, str]) -> Iterator[Kubectl]:
    """Kubectl in an empty namespace that says when a pod is not restricted."""
    kubectl = Kubectl(environment, "mlflow-dry-run")
    namespace = {"name": kubectl.namespace, "labels": NAMESPACE_LABELS}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace}
    kubectl("apply", "--filename=-", stdin=json.dumps(made))
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, seconds=120)


def try_out(kubectl: Kubectl, manifests: list[dict[str, Any]]) -> list[str]:
    """Return what the API server says against manifests, in our namespace instead of theirs."""
    moved = copy.deepcopy(manifests)
    for manifest in moved:
        if "namespace" in manifest["metadata"]:
            manifest["metadata"]["namespace"] = kubectl.namespace
    said = run(
        kubectl.command("apply", "--server-side", "--dry-run=server", "--filename=-"),
        kubectl.environment,
        seconds=180,
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": moved}),
        check=False,
    )
    assert len(said.stdout.splitlines()) + len(said.stderr.splitlines()) >= len(manifests)
    return said.stderr.splitlines()


def test_every_variant(kubectl: Kubectl) -> None:
    found = [one for variant in VARIANTS for one in objects(variant.render())]
    each = {json.dumps(one, sort_keys=True): one for one in found}
    assert try_out(kubectl, list(each.values())) == []


@pytest.mark.parametrize("number", NUMBERS)
def test_whatever_was_accepted_of_random_settings(kubectl: Kubectl, number: int) -> None:
    assert try_out(kubectl, outcome(number).manifests) == []


def test_what_no_schema_knows_is_found(kubectl: Kubectl) -> None:
    (pod,) = [one for one in objects(VARIANTS[0].render()) if one["kind"] == "Deployment"]
    pod["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "1 GB"
    (line,) = try_out(kubectl, [pod])
    assert "quantities must match" in line
    pod["spec"]["template"]["spec"]["containers"][0]["resources"] = {}
    pod["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {}
    (line,) = try_out(kubectl, [pod])
    assert "would violate PodSecurity" in line
