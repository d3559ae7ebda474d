"""A namespace of somebody else's, under mocks: read, never made, and nothing in it taken over.

What `pulumi destroy` leaves there, tests/e2e shows on a cluster.
"""

import json

import pytest

from tests.unit.recorder import Recorded, run_stack


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack(createNamespace=False, namespace="theirs")


def test_a_namespace_of_our_own_needs_nothing_of_this() -> None:
    own = run_stack()
    assert "ConfigMap mlflow-volumes" not in own.kubernetes()
    assert "ownerReferences" not in json.dumps(own.kubernetes())
    provider = own.inputs("kubernetes cluster")
    assert provider["enableServerSideApply"] == provider["upsertExistingObjects"] == "true"


def test_the_namespace_is_read_by_names_that_say_what_is_missing(stack: Recorded) -> None:
    found = {name: one for name, one in stack.kubernetes().items() if "Namespace" in name}
    assert found == {
        "Namespace must exist, by `kubectl create namespace theirs`": {},
        # As if the stack had made it: one that did lets go of it instead of deleting it.
        "Namespace mlflow-namespace": {},
    }


def test_what_has_the_same_name_is_not_taken_over(stack: Recorded) -> None:
    provider = stack.inputs("kubernetes cluster")
    assert provider["enableServerSideApply"] == provider["upsertExistingObjects"] == "false"


@pytest.mark.parametrize("store", ["minio", "hdfs"])
def test_every_volume_belongs_to_the_stack_and_not_to_its_server(store: str) -> None:
    stack = run_stack(createNamespace=False, namespace="theirs", artifactStore=store)
    sets = {name: one for name, one in stack.kubernetes().items() if "StatefulSet" in name}
    assert len(sets) == {"minio": 2, "hdfs": 3}[store]
    for name, inputs in sets.items():
        for claim in inputs["spec"]["volumeClaimTemplates"]:
            (owner,) = claim["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"]) == ("ConfigMap", "mlflow-volumes"), name
        assert "persistentVolumeClaimRetentionPolicy" not in inputs["spec"], name


def test_a_protected_stack_keeps_its_volumes(stack: Recorded) -> None:
    assert stack.inputs("ConfigMap mlflow-volumes")["metadata"]["namespace"] == "theirs"
