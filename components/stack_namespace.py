"""A namespace for the other components, made or existing, with a network policy that denies all."""

from collections.abc import Container
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from ._component import Component
from ._kubernetes.arguments import known_keys
from ._kubernetes.labels import NAMESPACE_LABELS, PART_OF_THE_STACK, metadata
from ._kubernetes.network_policies import default_deny
from ._kubernetes.pods import once_done
from ._kubernetes.retention import RetentionArgs, VolumeOwner

_NAMESPACE_OF_0_1_0 = "namespace"
"""Logical name of the namespace in release 0.1.0."""
# Release 0.1.0 made these objects as children of the stack. After a killed `up`, `pulumi import` of
# the namespace adds a child of the stack too.
_OF_THE_STACK = pulumi.ResourceOptions(aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)])
_NAMESPACE_OF_THE_STACK = pulumi.ResourceOptions(
    aliases=[
        pulumi.Alias(name=_NAMESPACE_OF_0_1_0, parent=pulumi.ROOT_STACK_RESOURCE),
        pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE),
    ]
)


class StackNamespaceArgs(TypedDict):
    """Inputs of :class:`StackNamespace`."""

    name: NotRequired[str]
    """Name of the namespace. Defaults to the component's name."""
    create: NotRequired[bool]
    """Whether the namespace is made, and deleted with the component. Defaults to ``True``. With
    ``False`` the namespace must exist; the component deletes its own objects in it alone."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete the namespace, its volumes and the generated passwords.
    Defaults to ``False``."""


class StackNamespace(Component):
    """A namespace in which a network policy denies what no other policy allows.

    A namespace that the component makes enforces Pod Security's profile `restricted`, and the
    policy is for all pods. In a namespace that exists, the policy is for the pods of these
    components alone.
    """

    namespace: pulumi.Output[str]
    """Name of the namespace. Known when the namespace exists."""
    uid: pulumi.Output[str]
    """Kubernetes' uid of the namespace. A namespace that is deleted and made anew has another one,
    and its volumes are new."""
    retention: RetentionArgs
    """Input ``retention`` of the components in the namespace. With ``protect``, it protects the
    passwords. Without ``create``, it deletes the volumes with this component."""

    @staticmethod
    def object_name(name: str) -> str:
        """Return the logical name of the namespace itself, of a component of this name."""
        return f"{name}-namespace"

    @staticmethod
    def made_by_0_1_0(name: str, resources: Container[str]) -> bool:
        """Return whether release 0.1.0 made the namespace of the component ``name``.

        The engine moves the namespace to its present logical name when the component makes it. So
        the first ``up`` after that release needs the input ``create``. Without it the engine would
        delete the namespace.

        Args:
            name: logical name of the component.
            resources: ``"<kind> <logical name>"`` of every resource in the state of the stack.
        """
        owner = f"ConfigMap {_owner_of(name)}"
        return f"Namespace {_NAMESPACE_OF_0_1_0}" in resources and owner not in resources

    def __init__(
        self,
        name: str,
        args: StackNamespaceArgs = {},  # noqa: B006 (never changed)
        opts: pulumi.ResourceOptions | None = None,
        *,
        contents: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the namespace, or read the one that exists.

        ``contents`` are options of the objects inside the namespace. Their provider may take over
        objects that exist (``upsert_existing_objects``). The provider of the namespace must not.

        Raises:
            pulumi.RunError: if ``args`` has a key that is no input.
        """
        super().__init__("StackNamespace", name, args, opts)
        known_keys(name, args, StackNamespaceArgs)
        child = pulumi.ResourceOptions(parent=self)
        inside = pulumi.ResourceOptions.merge(contents, child)
        protection = pulumi.ResourceOptions(protect=args.get("protect") or None)
        kubernetes_name = args.get("name", name)
        self.retention = {"protect_passwords": args.get("protect", False)}

        if args.get("create", True):
            made = _made(name, kubernetes_name, pulumi.ResourceOptions.merge(child, protection))
            self.namespace = made.metadata.name
        else:
            made = _existing(name, kubernetes_name, child)
            # In a preview, the id is unknown.
            self.namespace = once_done(made, kubernetes_name)
            self.retention["volume_owner"] = _volume_owner(
                name, self.namespace, pulumi.ResourceOptions.merge(inside, protection)
            )
        default_deny(
            name,
            self.namespace,
            whole=args.get("create", True),
            opts=pulumi.ResourceOptions.merge(inside, _OF_THE_STACK),
        )
        self.uid = made.metadata.uid
        self.register_outputs(
            {"namespace": self.namespace, "uid": self.uid, "retention": self.retention}
        )


def _made(name: str, kubernetes_name: str, opts: pulumi.ResourceOptions) -> k8s.core.v1.Namespace:
    """Make a namespace. The ``up`` fails if the namespace exists."""
    return k8s.core.v1.Namespace(
        StackNamespace.object_name(name),
        metadata={"name": kubernetes_name, "labels": NAMESPACE_LABELS},
        opts=pulumi.ResourceOptions.merge(opts, _NAMESPACE_OF_THE_STACK),
    )


def _existing(
    name: str, kubernetes_name: str, opts: pulumi.ResourceOptions
) -> k8s.core.v1.Namespace:
    """Read a namespace that exists. The ``up`` fails if the namespace does not.

    Pulumi's line begins with the name of the resource that reads the namespace. So that name says
    what to do.
    """
    found = k8s.core.v1.Namespace.get(
        f"must exist, by `kubectl create namespace {kubernetes_name}`", kubernetes_name, opts=opts
    )
    # This resource has the name of the resource that makes a namespace. So where `create` was true
    # before, the engine forgets the namespace. Otherwise it would delete the namespace.
    return k8s.core.v1.Namespace.get(
        StackNamespace.object_name(name),
        kubernetes_name,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[found])),
    )


def _owner_of(name: str) -> str:
    """Return the name of the ConfigMap that owns the volumes."""
    return f"{name}-volumes"


def _volume_owner(
    name: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> VolumeOwner:
    """Make the ConfigMap that owns the volumes, because the namespace stays."""
    owner = k8s.core.v1.ConfigMap(
        _owner_of(name),
        metadata=metadata(_owner_of(name), namespace, PART_OF_THE_STACK),
        data={"warning": "The volumes of this MLflow are deleted with this object."},
        opts=pulumi.ResourceOptions.merge(opts, _OF_THE_STACK),
    )
    return {
        "name": owner.metadata.apply(lambda made: made.name or ""),
        "uid": owner.metadata.apply(lambda made: made.uid or ""),
    }
