"""`pulumi up` and `pulumi destroy` end by SIGKILL at random moments; two commands converge.

The moments that are known to matter are in shared_stack/test_interrupted_up.py.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from os import killpg

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness.kubectl import Object, inventory, wait_for_nothing_more_than
from harness.programs import ProgramError
from harness.stack import Stack, kill
from harness.waiting import wait_until
from tests.e2e.support.killed_pulumi import group_is_over, in_state, secret_objects
from tests.e2e.support.namespace_objects import in_cluster
from tests.e2e.support.temporary_stack import temporary_stack

pytestmark = [pytest.mark.failure, pytest.mark.long]

NAMESPACE = "mlflow-e2e-killed"
TIMES = 25
"""How often each of the two commands is killed."""
IMPORT = ("kubernetes:core/v1:Namespace", "namespace", NAMESPACE, "--protect=false")
"""What docs/troubleshooting.md says where `up` was killed just after it created the namespace."""


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(cluster, tmp_path_factory.mktemp("killed"), NAMESPACE) as stack:
        yield stack


@pytest.fixture(scope="module")
def nothing(stack: Stack) -> set[Object]:
    """What the cluster has without the stack."""
    return inventory(stack.kubectl)


class Moments:
    """Random moments of a command, of which no whole run is shorter."""

    def __init__(self, seconds: float) -> None:
        """Take the seconds of a whole run."""
        self._seconds = seconds

    def next(self) -> float:
        """Return after how many seconds to kill the command."""
        return random.uniform(0, self._seconds)  # noqa: S311 (no secret)

    def was_over(self, seconds: float) -> None:
        """Note that a run was over after so many seconds."""
        self._seconds = min(self._seconds, seconds)


def timed(change: Callable[[], object]) -> float:
    start = time.monotonic()
    change()
    return time.monotonic() - start


def killed(stack: Stack, command: str, after: float, *, group: bool) -> bool:
    """Start a command and kill it; say whether it still ran then."""
    process = stack.start(command)
    try:
        time.sleep(after)
        ran = process.poll() is None
        if ran:
            kill(process, group=group)
        wait_until(lambda: group_is_over(process.pid), 60, "what Pulumi had started ends too")
    finally:
        with suppress(ProcessLookupError):
            killpg(process.pid, 9)
    return ran


def converge(stack: Stack, command: str) -> list[str]:
    """Do what a user does after a kill; return the commands that it took."""
    stack.pulumi("cancel", "--yes", "--stack", "minikube")
    try:
        stack.change(command)
    except ProgramError as error:
        if command != "up" or f'"{NAMESPACE}" already exists' not in str(error):
            raise
    else:
        return ["cancel", command]
    stack.pulumi("import", "--yes", "--stack", "minikube", "--generate-code=false", *IMPORT)
    stack.change(command)
    return ["cancel", "import", command]


def test_two_commands_converge(stack: Stack, nothing: set[Object]) -> None:
    """Three, and one `make up`, where `up` was killed before it could note its namespace."""
    kubectl = stack.kubectl
    ups = Moments(timed(lambda: stack.change("up")))
    destroys = Moments(timed(lambda: stack.change("destroy")))
    for number in range(TIMES):
        group = bool(number % 2)
        while not killed(stack, "up", after := ups.next(), group=group):
            ups.was_over(after)
            stack.change("destroy")
        generated, kept = stack.generated_secrets(), secret_objects(kubectl)
        took = converge(stack, "up")
        print(f"up killed after {after:.1f} s: {' '.join(took)}")
        assert {name: stack.generated_secrets()[name] for name in generated} == generated
        assert {name: secret_objects(kubectl)[name] for name in kept} == kept
        assert in_cluster(kubectl) == in_state(stack)
        stack.change("preview", "--expect-no-changes")

        while not killed(stack, "destroy", after := destroys.next(), group=group):
            destroys.was_over(after)
            stack.change("up")
        took = converge(stack, "destroy")
        print(f"destroy killed after {after:.1f} s: {' '.join(took)}")
        assert stack.resources() == []
        wait_for_nothing_more_than(kubectl, nothing, 60)
