"""Every pod of every variant is under Pod Security's profile "restricted", with fewer rights.

That Kubernetes refuses any other is shown in tests/e2e/shared_stack/test_known_problems.py.
"""

import pytest

from tests.unit.recorder import Recorded
from tests.variants import VARIANTS

# Those that the profile lets a pod have (kubernetes.io, Pod Security Standards), and we use.
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def rendered(request: pytest.FixtureRequest) -> Recorded:
    recorded: Recorded = request.param.render()
    return recorded


def test_every_pod_runs_under_the_restricted_profile(rendered: Recorded) -> None:
    assert len(rendered.pods()) >= 2
    for name, pod in rendered.pods().items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert not [key for key in pod if key.startswith("host") and key != "hostAliases"], name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= VOLUMES, name
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, name


def test_our_own_namespace_takes_no_other_pods(rendered: Recorded) -> None:
    # One of somebody else's is only read: its labels are theirs.
    made = rendered.kubernetes()["Namespace mlflow-namespace"]
    if made:
        assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
