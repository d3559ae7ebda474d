"""Settings that would lose data are refused, and the stack stays as it is."""

import re
from typing import Any

import pytest
import yaml

from harness.programs import ProgramError
from harness.stack import Stack

pytestmark = pytest.mark.store

GUIDE = "see docs/moving-data.md"


def said_with(stack: Stack, command: str, **changed: str) -> str:
    """Return what is said when settings are changed for one command alone."""
    content = yaml.safe_load((stack.folder / "Pulumi.minikube.yaml").read_text())
    for key, value in changed.items():
        content["config"][f"mlflow:{key}"] = value
    file = stack.folder / "changed.yaml"
    file.write_text(yaml.safe_dump(content))
    answer = stack.change(command, "--config-file", str(file), check=False)
    file.unlink()
    return answer


def refused(stack: Stack, command: str, **changed: str) -> str:
    """Return what is said of settings that are refused."""
    answer = said_with(stack, command, **changed)
    assert "Traceback" not in answer
    assert "kubernetes:" not in answer, "nothing was even planned"
    return answer


def held(stack: Stack) -> dict[str, Any]:
    """Return the versions of everything that holds data, or reaches it."""
    found = stack.kubectl.items("statefulsets", "persistentvolumeclaims", "deployments", "jobs")
    return {one["metadata"]["uid"]: one["metadata"].get("generation", 0) for one in found}


def claims(stack: Stack) -> dict[str, str]:
    """Return which volume claims there are."""
    found = stack.kubectl.items("persistentvolumeclaims")
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


def test_a_volume_a_kind_of_store_and_a_namespace_are_kept(stack: Stack) -> None:
    before = held(stack)
    other = "mysql" if stack.database.name == "postgres" else "postgres"
    said = refused(
        stack, "preview", backendStore=other, artifactStore="hdfs", namespace="elsewhere"
    )
    for line in (
        f"mlflow:backendStore: '{other}'; accepted: '{stack.database.name}', which holds",
        "mlflow:artifactStore: 'hdfs'; accepted: 'minio', which holds",
        f"mlflow:namespace: 'elsewhere'; accepted: '{stack.namespace}', which holds",
    ):
        assert line in said
        assert said.count(line) <= 2, "Pulumi shows it when it happens, and again at the end"
    assert said.count(GUIDE) >= 3

    said = refused(stack, "up", databaseStorage="512Mi", artifactStorage="1Gi")
    assert "mlflow:databaseStorage: '512Mi'; accepted: 1Gi or more" in said
    assert "mlflow:artifactStorage: '1Gi'; accepted: 5Gi or more" in said
    assert held(stack) == before
    stack.change("preview", "--expect-no-changes")


def test_an_image_that_does_not_read_the_volume_is_refused(stack: Stack) -> None:
    before = held(stack)
    key = f"{stack.database.name}Image"
    hidden = f"registry.example/database@sha256:{64 * 'a'}"
    for image, accepted in (
        (stack.database.older_image, stack.database.accepted),
        (hidden, "a tag that begins with the version"),
    ):
        said = refused(stack, "up", **{key: image})
        assert f"mlflow:{key}: '{image}'; accepted: {accepted}" in said
    assert held(stack) == before


def test_a_database_looks_at_its_volume_before_it_starts(stack: Stack) -> None:
    # With another version's folder or program, as another image has; on the volume in use.
    pod = f"{stack.database.name}-0"
    spec = stack.kubectl.json("get", "pod", pod)["spec"]
    (check,) = spec["initContainers"]
    command = ["exec", pod, "--", "env"]
    assert not stack.kubectl(*command, *check["command"])
    with pytest.raises(ProgramError, match=f"error: the volume has data of {stack.database.data}"):
        stack.kubectl(*command, *stack.database.like_another, *check["command"])


def test_a_protected_stack_takes_upgrades_and_its_data_outlives_a_destroy(stack: Stack) -> None:
    stack.set(protectData="true")
    stack.change("up")
    # Every Job is replaced by another image of the server.
    said = said_with(stack, "preview", serverImage="mlflow-kubernetes/server:next")
    assert re.search(r"\+- +kubernetes:batch/v1:Job", said), said
    assert "error: " not in said
    passwords, volumes = stack.generated_secrets(), claims(stack)
    said = stack.change("destroy", check=False)
    assert "cannot be deleted" in said
    assert claims(stack) == volumes
    stack.set(protectData="false")
    stack.change("up")
    assert claims(stack) == volumes
    assert stack.generated_secrets() == passwords
