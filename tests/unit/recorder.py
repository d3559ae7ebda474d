"""Run a program or a component under Pulumi's mocks, and keep every resource it asks for.

This proves wiring only: nothing here talks to Kubernetes, and no wait, default or rule of the
providers is real. tests/e2e proves the product.
"""

import functools
import runpy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import pulumi.runtime
import yaml

from settings.load import Given, as_text

ROOT = Path(__file__).parents[2]
ADDRESS = "ingress.example"
# Of nobody, and made for this place alone.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBNDCB56ADAgECAhQcTDVfAljbPcgel6ZU7uNApV9OODAFBgMrZXAwDzENMAsG
A1UEAwwEdGVzdDAgFw0yNjExMjIyMDIzNDZaGA8yMTI2MTAyOTIwMjM0NlowDzEN
MAsGA1UEAwwEdGVzdDAqMAUGAytlcAMhAIWHxG7RqECsXEjmAm5D2F2wTyR/tq3v
CodVOkD/WdEFo1MwUTAdBgNVHQ4EFgQU7AAnTEdv1Zdp/9CawFEkqMZ+m9kwHwYD
VR0jBBgwFoAU7AAnTEdv1Zdp/9CawFEkqMZ+m9kwDwYDVR0TAQH/BAUwAwEB/zAF
BgMrZXADQQAgTnIYlebT0kulaXfofff/khNnldn8aWRjZq91neaqFsGC58L+jNAz
LbFzCDpulNxGo7s+f5qmzDWZB4KMp/kB
-----END CERTIFICATE-----
"""


@dataclass
class Recorded(pulumi.runtime.Mocks):
    """What was registered (name -> token, inputs), and what was exported."""

    resources: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    exports: dict[str, Any] = field(default_factory=dict)
    secret_exports: set[str] = field(default_factory=set)
    state: dict[str, Any] = field(default_factory=dict)
    """What the last `up` left, as the engine tells it."""
    unreadable: int = 0
    """How many times the state cannot be read before it can."""

    def new_resource(
        self, args: pulumi.runtime.MockResourceArgs
    ) -> tuple[str | None, dict[str, Any]]:
        """Answer with the inputs, plus what a real provider would have computed."""
        self.resources[f"{args.typ.rsplit(':', 1)[-1]} {args.name}"] = (args.typ, args.inputs)
        outputs = dict(args.inputs)
        if args.typ == "random:index/randomPassword:RandomPassword":
            outputs["result"] = password(args.name)
        if args.typ.startswith("kubernetes:"):
            # What the program reads has no inputs.
            stated = args.inputs.get("metadata", {})
            outputs["metadata"] = {**stated, "uid": f"uid-of-{args.name}"}
        if args.typ == "kubernetes:networking.k8s.io/v1:Ingress":
            outputs["status"] = {"loadBalancer": {"ingress": [{"hostname": ADDRESS}]}}
        return f"{args.name}-id", outputs

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Answer for the engine; the program asks nothing of a provider but resources."""
        if not args.token.endswith(":readStackResourceOutputs"):
            raise AssertionError(f"unexpected call of {args.token}")
        if self.unreadable:
            self.unreadable -= 1
            return {}, [("stackName", "the call returned an error: failed to load checkpoint: EOF")]
        return {"outputs": self.state}, []

    def inputs(self, name: str) -> dict[str, Any]:
        """Return the inputs of ``"<Kind> <name>"``."""
        return self.resources[name][1]

    def kubernetes(self) -> dict[str, dict[str, Any]]:
        """Return every Kubernetes object that was asked for, and every namespace that is read."""
        return {
            name: inputs
            for name, (token, inputs) in self.resources.items()
            if token.startswith("kubernetes:") and (inputs or token.endswith(":Namespace"))
        }

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return every pod template's spec, by the object that holds it."""
        return {
            name: template["spec"]
            for name, inputs in self.kubernetes().items()
            if (template := pod_template(inputs))
        }


def pod_template(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the template that an object makes pods of, if it makes any."""
    spec: dict[str, Any] = manifest.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    return spec.get("template")


def password(name: str) -> str:
    """Return what the mocks generate for the RandomPassword of that name."""
    return f"generated{name.replace('-', '')}"


def settings(stack: str = "minikube", **changed: object) -> dict[str, str]:
    """Return a stack's configuration as the engine hands it over, with some of it changed."""
    return {
        **_declared(stack),
        **{f"mlflow:{key}": as_text(value) for key, value in changed.items()},
    }


@functools.cache
def _declared(stack: str) -> dict[str, str]:
    files = (
        yaml.safe_load((ROOT / f"Pulumi{name}.yaml").read_text()) for name in ("", f".{stack}")
    )
    return {**Given.from_files(*files).texts}


def record(
    program: Callable[[], object],
    config: Mapping[str, str] | None = None,
    encrypted: Collection[str] = (),
    into: Recorded | None = None,
) -> Recorded:
    """Run ``program`` with ``config``, some of it encrypted, until nothing is outstanding."""
    recorded = into or Recorded()
    configure(recorded, config or {}, encrypted)
    pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
    return recorded


def configure(recorded: Recorded, config: Mapping[str, str], encrypted: Collection[str]) -> None:
    """Give what runs next a configuration, some of it encrypted, and mocks."""
    pulumi.runtime.set_mocks(recorded, project="mlflow", stack="minikube", preview=False)
    pulumi.runtime.set_all_config(dict(config), [f"mlflow:{key}" for key in encrypted])


def run_stack(
    *encrypted: str, stack: str = "minikube", into: Recorded | None = None, **changed: object
) -> Recorded:
    """Run ``__main__.py`` as the stack does, with some settings changed, and some encrypted."""
    exported: dict[str, pulumi.Output[Any]] = {}

    def program() -> None:
        export = pulumi.export
        pulumi.export = lambda name, value: exported.update({name: pulumi.Output.from_input(value)})
        try:
            # The kubeconfig of whoever runs the tests may lack the context of the stack file.
            with mock.patch("wiring.kubeconfig_contexts", return_value=[]):
                runpy.run_path(str(ROOT / "__main__.py"))
        finally:
            pulumi.export = export

    recorded = record(program, settings(stack, **changed), encrypted, into)

    def note(known: list[Any]) -> None:
        name, value, secret = known
        recorded.exports[name] = value
        recorded.secret_exports |= {name} if secret else set()

    def keep() -> None:
        for name, output in exported.items():
            pulumi.Output.all(name, output, output.is_secret()).apply(note)

    pulumi.runtime.test(keep)()  # type: ignore[no-untyped-call]
    return recorded


def content(stack: Recorded, secret: str) -> dict[str, str]:
    """Return what a Secret holds; the SDK marks it as secret on the wire, and so it must be."""
    marked = stack.inputs(f"Secret {secret}")["stringData"]
    assert set(marked) - {"value"}, "not marked as secret"
    value: dict[str, str] = marked["value"]
    return value
