"""An upgrade finds the objects that release 0.1.0 made under other parents and names."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from pulumi.runtime.mocks import MockMonitor

from tests.unit.recorder import run_stack

STACK = "urn:pulumi:minikube::mlflow::"


@contextlib.contextmanager
def registered() -> Iterator[dict[str, Any]]:
    """Yield each request for a resource, by its URN as the mocks make it."""
    found: dict[str, Any] = {}
    register = MockMonitor.RegisterResource

    def note(self: MockMonitor, request: Any) -> Any:
        answer = register(self, request)  # type: ignore[no-untyped-call]
        found[answer.urn.removeprefix(STACK)] = request
        return answer

    with mock.patch.object(MockMonitor, "RegisterResource", note):
        yield found


def aliases(request: Any) -> set[tuple[str, bool]]:
    """Return each alias as a name and whether it has no parent."""
    return {(one.spec.name or request.name, one.spec.noParent) for one in request.aliases}


@pytest.mark.parametrize(
    ("settings", "kind", "name", "former"),
    [
        ({}, "core/v1:Namespace", "mlflow-namespace", "namespace"),
        # As `pulumi import` names a namespace that a killed `up` had made.
        ({}, "core/v1:Namespace", "mlflow-namespace", "mlflow-namespace"),
        (
            {},
            "networking.k8s.io/v1:NetworkPolicy",
            "mlflow-default-deny-policy",
            "mlflow-default-deny-policy",
        ),
        ({"createNamespace": False}, "core/v1:ConfigMap", "mlflow-volumes", "mlflow-volumes"),
    ],
)
def test_what_release_0_1_0_made_is_found_again(
    settings: dict[str, Any], kind: str, name: str, former: str
) -> None:
    with registered() as found:
        run_stack(**settings)
    request = found[f"mlflow-kubernetes:index:StackNamespace$kubernetes:{kind}::{name}"]
    assert (former, True) in aliases(request)


def test_the_namespace_keeps_the_default_provider_and_all_else_the_stacks_own() -> None:
    """The engine replaces an object whose provider changes: a namespace with all that is in it."""
    with registered() as found:
        run_stack(clientWorkspace=True, tls="generated")
    providers = {
        urn.rpartition("::")[2]: request.provider
        for urn, request in found.items()
        if request.type.startswith("kubernetes:")
    }
    assert providers.pop("mlflow-namespace") == ""
    assert {provider.split("::")[3] for provider in providers.values()} == {"cluster"}


@pytest.mark.parametrize("protect", [True, False])
def test_passwords_and_the_namespace_are_protected_where_the_stack_is(protect: bool) -> None:
    with registered() as found:
        run_stack(protectData=protect, artifactStore="minio", clientWorkspace=True, tls="generated")
    protected = {urn.rpartition(":")[2] for urn, request in found.items() if request.protect}
    passwords = {urn.rpartition(":")[2] for urn in found if "RandomPassword" in urn}
    assert len(passwords) >= 10
    assert protected == ({*passwords, "mlflow-namespace"} if protect else set())


def test_every_object_is_a_child_of_its_component() -> None:
    with registered() as found:
        run_stack(clientWorkspace=True, tls="generated")
    parts = [urn.split("::") for urn in found]
    roots = {name for kind, name in parts if kind.startswith("pulumi:pulumi:Stack$")}
    assert roots == {"cluster", "mlflow", "ingress", "postgres", "minio", "backup", "workspace"}
