"""Every variant of the stack, as Kubernetes sees it: by kubeconform, for four releases.

What schemas do not say (names, quantities, addresses) is asked of an API server in tests/e2e.
"""

import copy

from tests.rendered import kubeconform
from tests.variants import VARIANTS, objects


def test_every_release_knows_every_field() -> None:
    rendered = [one for variant in VARIANTS for one in objects(variant.render())]
    assert kubeconform.refused(rendered) == []


def test_a_field_that_does_not_exist_is_found() -> None:
    (deployment,) = [one for one in objects(VARIANTS[0].render()) if one["kind"] == "Deployment"]
    misspelt = copy.deepcopy(deployment)
    misspelt["spec"]["replica"] = 1
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["replicas"] = "one"
    lines = kubeconform.refused([deployment, misspelt, wrong])
    assert len(lines) == 2 * len(kubeconform.RELEASES)
    assert all("replica" in line for line in lines)
