"""A stack whose components have their former types, under the real engine: nothing is replaced.

The children are passwords, which need no cluster. A new password would lock MLflow out of its data.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.programs import CLONE, run
from tests.plugins.harness import project

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PROGRAM = """
import os
import sys

import pulumi
import pulumi_random as random

sys.path.insert(0, os.environ["CLONE"])
from components._component import Component

inputs = {"storage": "1Gi"}
if os.environ["STATE"] == "former":
    component = pulumi.ComponentResource("mlflow-k8s:index:Postgres", "postgres", inputs)
else:
    component = Component("Postgres", "postgres", inputs, None)

if os.environ["STATE"] == "interrupted":
    def fail(urn):
        raise RuntimeError("interrupted")
    component.urn.apply(fail)
else:
    child = pulumi.ResourceOptions(parent=component)
    moved = pulumi.ResourceOptions(aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)])
    for name, opts in {
        "postgres-password": child,
        "other": child,
        # As the children of StackNamespace, which release 0.1.0 made without a component.
        "with-alias": pulumi.ResourceOptions.merge(child, moved),
    }.items():
        password = random.RandomPassword(name, length=20, special=False, opts=opts)
        pulumi.export(name, password.result)
"""


@dataclass(frozen=True)
class Stack:
    """A stack of the program above, on a state file of its own."""

    folder: Path
    environment: dict[str, str]

    def pulumi(self, *arguments: str, state: str = "present", check: bool = True) -> str:
        """Run `pulumi`, and return what it printed."""
        done = run(
            ["pulumi", *arguments, "--non-interactive"],
            {**self.environment, "STATE": state},
            seconds=120,
            folder=self.folder,
            check=check,
        )
        return done.stdout

    def up(self, state: str = "present", *, check: bool = True) -> str:
        """Bring the stack up with the program of that time."""
        return self.pulumi("up", "--yes", "--skip-preview", state=state, check=check)

    def passwords(self) -> dict[str, Any]:
        """Return the passwords."""
        outputs: dict[str, Any] = json.loads(
            self.pulumi("stack", "output", "--json", "--show-secrets")
        )
        return outputs

    def urns(self) -> list[str]:
        """Return the URN of every resource."""
        state = json.loads(self.pulumi("stack", "export"))
        return [one["urn"] for one in state["deployment"]["resources"]]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that was brought up when the components had their former types."""
    if not shutil.which("pulumi"):
        pytest.skip("needs Pulumi's engine")
    environment = project(tmp_path, "types", PROGRAM)
    made = Stack(tmp_path, environment | {"CLONE": str(CLONE)})
    made.pulumi("stack", "init", "dev")
    made.up("former")
    yield made
    made.pulumi("destroy", "--yes", "--skip-preview")


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_component_and_its_children_are_found_under_the_former_type(
    stack: Stack, interrupted: bool
) -> None:
    before = stack.passwords()
    assert len(before) == 3
    assert any("mlflow-k8s:index:Postgres$" in urn for urn in stack.urns())
    if interrupted:
        # The component has its new type by then, and the children are not registered yet.
        stack.up("interrupted", check=False)
    said = stack.up()
    assert "5 unchanged" in said
    assert not {"created", "replaced", "deleted"} & {*said.split()}
    assert stack.passwords() == before
    assert not any("mlflow-k8s" in urn for urn in stack.urns())
