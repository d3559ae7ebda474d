"""The members of a stack's PostgreSQL: who is the primary, and whether all of them follow it."""

import json
from typing import Any

from components.backend_stores._patroni import PRIMARY, ROLE
from harness.kubectl import ready, restarts
from harness.programs import ProgramError
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support import stateful_pods
from tests.e2e.support.stateful_pods import name

SETTLE_SECONDS = 300
"""How long members may take until all of them follow the primary, a new copy included."""
_PICKED = "app.kubernetes.io/instance=postgres"
_COPY, _LEADER = ("Quorum Standby", "streaming"), ("Leader", "running")


def pods(stack: Stack) -> list[dict[str, Any]]:
    """Return the pods of the members that are not being deleted, by their names."""
    return stateful_pods.pods(stack, "postgres")


def primary(stack: Stack) -> dict[str, Any]:
    """Return the pod to which the Service leads.

    Raises:
        ProgramError: if there is none, or several.
    """
    labelled = f"--selector={_PICKED},{ROLE}={PRIMARY}"
    found: list[dict[str, Any]] = stack.kubectl.json("get", "pods", labelled)["items"]
    if len(found) != 1:
        raise ProgramError(f"{len(found)} pods are labelled as the primary")
    return found[0]


def patronictl(stack: Stack, *arguments: str, seconds: float = 60) -> str:
    """Run `patronictl` in a member that is ready, as docs/high-availability.md says."""
    pod = next(one for one in pods(stack) if ready(one))
    return stack.kubectl("exec", name(pod), "--", "patronictl", *arguments, seconds=seconds)


def states(stack: Stack) -> dict[str, tuple[str, str]]:
    """Return the role and the state of each member. A member that has just started tells none."""
    listed = json.loads(patronictl(stack, "list", "--format", "json"))
    return {one["Member"]: (one["Role"], one.get("State", "unknown")) for one in listed}


def settle(stack: Stack, number: int, seconds: float = SETTLE_SECONDS) -> None:
    """Wait until there are so many members, all of which can become the primary."""

    def settled() -> bool:
        found = states(stack)
        if sorted(found.values()) != sorted([_LEADER, *[_COPY] * (number - 1)]):
            raise ProgramError(str(found))
        primary(stack)
        return len(pods(stack)) == number and all(map(ready, pods(stack)))

    wait_until(settled, seconds, f"{number} members follow the primary", every=2)


def renew(stack: Stack, number: int) -> None:
    """Replace the pods whose containers were restarted, the primary's last.

    Kubernetes waits longer before each restart of one container within ten minutes.
    """
    restarted = [name(pod) for pod in pods(stack) if restarts(pod)]
    first = name(primary(stack))
    for pod in sorted(restarted, key=lambda one: one == first):
        stack.kubectl("delete", "pod", pod, seconds=120)
        settle(stack, number)
