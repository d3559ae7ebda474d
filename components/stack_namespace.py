"""Where a stack is put: a namespace of its own or of somebody else's, closed to whom it must be."""

import pulumi
import pulumi_kubernetes as k8s

from ._kubernetes.existing_namespace import existing_namespace, volumes_go_with_the_stack
from ._kubernetes.labels import NAMESPACE_LABELS
from ._kubernetes.network_policies import default_deny


class Place:
    """A namespace, closed to every packet that no policy asks for, and how things are put there."""

    namespace: pulumi.Output[str]
    """Its name, known when it is there."""
    inside: pulumi.ResourceOptions
    """For everything in it. Where the place is ``protected``, nothing is removed or replaced that
    the data cannot do without: the namespace, or what owns the volumes, and the passwords."""

    def __init__(
        self,
        name: str,
        *,
        ours: bool,
        context: str | None,
        kubeconfig: str | None,
        protected: bool,
    ) -> None:
        protection = pulumi.ResourceOptions(protect=protected)
        # A namespace that exists already is somebody else's: making it is refused, not taken over.
        if ours:
            self.namespace = k8s.core.v1.Namespace(
                "namespace", metadata={"name": name, "labels": NAMESPACE_LABELS}, opts=protection
            ).metadata.name
        else:
            self.namespace = existing_namespace(name)
        # In the stack's own namespace, an object that a killed `up` had made is taken up again:
        # server-side apply does that, before provider 4.29 always, since then when upserting.
        # In another namespace an object of the same name may belong to others. Without server-side
        # apply every release of the provider creates objects, which fails where one exists.
        # Changed Secrets are updated in place, and the pods that read them restart.
        cluster = k8s.Provider(
            "cluster",
            context=context,
            kubeconfig=kubeconfig,
            enable_server_side_apply=ours,
            upsert_existing_objects=ours,
            enable_secret_mutable=True,
            enable_config_map_mutable=True,
        )
        # Not whole components: an upgrade replaces Jobs, which would then be refused.
        self.inside = pulumi.ResourceOptions(
            provider=cluster, transformations=[_keep_passwords] if protected else []
        )
        if not ours:
            belong = volumes_go_with_the_stack(
                self.namespace, pulumi.ResourceOptions.merge(self.inside, protection)
            )
            self.inside = pulumi.ResourceOptions.merge(
                self.inside, pulumi.ResourceOptions(transformations=[belong])
            )
        default_deny(self.namespace, whole=ours, opts=self.inside)


def _keep_passwords(
    args: pulumi.ResourceTransformationArgs,
) -> pulumi.ResourceTransformationResult | None:
    """Protect what databases were set up with or encrypt by: made anew, it would open nothing."""
    if args.type_ != "random:index/randomPassword:RandomPassword":
        return None
    protection = pulumi.ResourceOptions(protect=True)
    return pulumi.ResourceTransformationResult(
        props=args.props, opts=pulumi.ResourceOptions.merge(args.opts, protection)
    )
