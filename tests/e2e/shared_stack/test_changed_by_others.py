"""Objects of the stack are changed by kubectl, a controller and an autoscaler; then by `up`."""

import shutil
from typing import Any

import pytest

from harness.kubectl import Kubectl
from harness.programs import run
from harness.stack import Stack
from harness.waiting import wait_until

pytestmark = [pytest.mark.failure, pytest.mark.long]

DEPLOYMENT = "deployment/mlflow"


def deployment(stack: Stack) -> Any:
    return stack.kubectl.json("get", DEPLOYMENT)


def edit(kubectl: Kubectl, what: str, change: str) -> None:
    """Change an object by `kubectl edit`, with sed in the place of a person's editor."""
    editor = {"KUBE_EDITOR": f"{shutil.which('sed')} -i {change}"}
    run(kubectl.command("edit", what), {**kubectl.environment, **editor}, seconds=60)


def test_the_programs_values_win_and_what_it_does_not_state_stays(stack: Stack) -> None:
    kubectl = stack.kubectl
    image = deployment(stack)["spec"]["template"]["spec"]["containers"][0]["image"]
    kubectl("scale", DEPLOYMENT, "--replicas=2")
    kubectl("set", "image", DEPLOYMENT, "*=mlflow-kubernetes/server:not-there")
    kubectl("label", DEPLOYMENT, "--overwrite", "app.kubernetes.io/component=renamed")
    edit(kubectl, "service/mlflow", "s/5000/5001/")
    # Not by kubectl, as far as Kubernetes knows: a controller's own manager of fields.
    controller = ("--field-manager=some-controller", "--overwrite")
    kubectl("annotate", DEPLOYMENT, *controller, "example.com/note=theirs")
    kubectl("label", DEPLOYMENT, *controller, "app.kubernetes.io/managed-by=some-controller")
    patch = '{"spec":{"strategy":{"rollingUpdate":{"maxSurge":2}}}}'
    kubectl("patch", DEPLOYMENT, "--field-manager=some-controller", f"--patch={patch}")

    # Pulumi updates what the program has changed; nothing else was looked at.
    stack.set(allowedHosts='["changed.example:*"]')
    stack.change("up")
    found = deployment(stack)
    assert found["spec"]["replicas"] == 1
    assert found["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 1
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert found["metadata"]["labels"]["app.kubernetes.io/component"] == "tracking-server"
    assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "pulumi"
    assert found["metadata"]["annotations"]["example.com/note"] == "theirs"
    assert "changed.example:*" in str(found)

    # With a look at the cluster first, as `make up` does, all is put back.
    stack.set(allowedHosts="[]")
    said = stack.change("up", "--refresh")
    assert "conflict" not in said
    (port,) = kubectl.json("get", "service", "mlflow")["spec"]["ports"]
    assert port["port"] == 5000
    assert deployment(stack)["metadata"]["annotations"]["example.com/note"] == "theirs"
    stack.change("preview", "--expect-no-changes")
    wait_until(lambda: kubectl.is_ready("mlflow"), 60, "one pod is left")


def test_an_autoscaler_keeps_its_number_of_pods(stack: Stack) -> None:
    kubectl = stack.kubectl

    def replicas() -> int:
        number: int = deployment(stack)["spec"]["replicas"]
        return number

    try:
        stack.set(autoscaled="true", replicas="3")
        stack.change("up")
        assert replicas() == 1, "left as it was"
        # Below its minimum it needs no metrics to act.
        kubectl("autoscale", DEPLOYMENT, "--min=2", "--max=3", "--cpu-percent=90")
        wait_until(lambda: replicas() == 2, 60, "the autoscaler has acted")
        stack.set(allowedHosts='["changed.example:*"]')
        stack.change("up", "--refresh")
        assert replicas() == 2
        stack.change("preview", "--refresh", "--expect-no-changes")
    finally:
        kubectl("delete", "horizontalpodautoscaler", "mlflow", "--ignore-not-found")
        stack.set(autoscaled="false", replicas="1", allowedHosts="[]")
        stack.change("up", "--refresh")
    assert replicas() == 1
    stack.change("preview", "--expect-no-changes")
    wait_until(lambda: kubectl.is_ready("mlflow"), 60, "one pod is left")
