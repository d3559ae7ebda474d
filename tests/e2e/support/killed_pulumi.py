"""Whether all that a killed Pulumi had started is over, and what it left in cluster and state."""

from collections.abc import Mapping
from os import killpg
from typing import Any

from harness.kubectl import Kubectl
from harness.programs import ProgramError
from harness.stack import Stack


def group_is_over(group: int) -> bool:
    try:
        killpg(group, 0)
    except ProcessLookupError:
        return True
    raise ProgramError("some process of it still runs")


def secret_objects(kubectl: Kubectl) -> dict[str, Mapping[str, str]]:
    """Return what the Secrets in the namespace hold."""
    return {item["metadata"]["name"]: item["data"] for item in kubectl.items("secrets")}


def in_state(stack: Stack) -> set[tuple[str, str]]:
    """Return (kind, name) of what the state says is in the namespace."""

    def place(resource: Mapping[str, Any]) -> tuple[str, str]:
        return resource["inputs"]["kind"], resource["inputs"]["metadata"]["name"]

    return {
        place(resource)
        for resource in stack.resources()
        if resource["type"].startswith("kubernetes:")
        # Objects that the program reads, such as the record of the last upgrade, have no inputs.
        and "namespace" in resource.get("inputs", {}).get("metadata", {})
    }
