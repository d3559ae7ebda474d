"""`pulumi up` is killed at any moment: one more converges, with the same secrets, no orphans."""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from os import killpg

import pytest

from harness import clients
from harness.kubectl import Kubectl, Object, wait_for_nothing_more_than
from harness.stack import Stack, kill
from harness.waiting import wait_until
from tests.e2e.support.killed_pulumi import group_is_over, in_state, secret_objects
from tests.e2e.support.namespace_objects import in_cluster

pytestmark = [pytest.mark.failure, pytest.mark.long]


def exists(kubectl: Kubectl, *what: str) -> bool:
    return bool(kubectl("get", *what, "--ignore-not-found", "--output=name").strip())


def namespace_is_noted(stack: Stack) -> bool:
    """Before, one that exists is somebody else's for all that `pulumi up` knows."""
    return any(resource["type"] == "kubernetes:core/v1:Namespace" for resource in stack.noted())


def database_starts(stack: Stack) -> bool:
    return exists(
        stack.kubectl, "statefulset", "--selector=app.kubernetes.io/component=backend-store"
    )


def bucket_job_runs(stack: Stack) -> bool:
    return exists(stack.kubectl, "job", "minio-bucket")


def server_starts(stack: Stack) -> bool:
    return exists(stack.kubectl, "deployment", "mlflow")


def at_random(stack: Stack) -> bool:
    # Not after a time: what an `up` takes differs from machine to machine. Before the last ones,
    # that have to be waited for.
    history = stack.pulumi("stack", "history", "--stack", "minikube", "--json", "--page-size=1")
    whole = json.loads(history.stdout)[0]["resourceChanges"]["delete"]
    share = random.randint(1, whole - 3)  # noqa: S311 (no secret)
    print(f"killed when {share} of {whole} resources were noted")
    wait_until(
        lambda: namespace_is_noted(stack) and len(stack.noted()) >= share,
        *(90, f"{share} resources are noted"),
        every=0.02,
    )
    return True


MOMENTS: list[tuple[Callable[[Stack], bool], bool]] = [
    (namespace_is_noted, False),
    (database_starts, True),
    (bucket_job_runs, False),
    (server_starts, True),
    (at_random, False),
]


@pytest.mark.parametrize(
    ("moment", "with_all_it_started"), MOMENTS, ids=[moment.__name__ for moment, _ in MOMENTS]
)
def test_killed_up_is_finished_by_the_next(
    stack: Stack,
    machine: clients.Machine,
    before: set[Object],
    moment: Callable[[Stack], bool],
    with_all_it_started: bool,
) -> None:
    kubectl = stack.kubectl
    with stack.up_for_others():
        stack.change("destroy")
        wait_for_nothing_more_than(kubectl, before, 60)

        up = stack.start("up")
        try:
            wait_until(lambda: moment(stack), 90, moment.__name__, every=0.02)
            assert up.poll() is None, "up was over before it could be killed"
            kill(up, group=with_all_it_started)
            wait_until(
                lambda: group_is_over(up.pid), 30, "what the killed Pulumi had started ends too"
            )
        finally:
            with suppress(ProcessLookupError):
                killpg(up.pid, 9)
        generated = stack.generated_secrets()
        kept = secret_objects(kubectl)

        stack.pulumi("cancel", "--yes", "--stack", "minikube")
        stack.change("up")

        assert {name: stack.generated_secrets()[name] for name in generated} == generated
        assert {name: secret_objects(kubectl)[name] for name in kept} == kept
        assert in_cluster(kubectl) == in_state(stack)
        stack.change("preview", "--expect-no-changes")
        report = machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
        assert report == {"answer": 42.0, "greeting": "hello"}
