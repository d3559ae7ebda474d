"""Where a stack is put: a namespace of its own or of somebody else's, closed to whom it must be."""

import pulumi
import pulumi_kubernetes as k8s

from components._labels import NAMESPACE_LABELS
from components._network import default_deny
from components.existing_namespace import existing_namespace, volumes_go_with_the_stack


class Place:
    """A namespace, closed to every packet that no policy asks for, and how things are put there."""

    namespace: pulumi.Output[str]
    """Its name, known when it is there."""
    inside: pulumi.ResourceOptions
    """For whatever can be made anew."""
    data: pulumi.ResourceOptions
    """For what holds data: it cannot be removed where the place is ``protected``."""

    def __init__(self, name: str, *, ours: bool, context: str | None, protected: bool) -> None:
        protection = pulumi.ResourceOptions(protect=protected)
        # A namespace that exists already is somebody else's: making it is refused, not taken over.
        if ours:
            self.namespace = k8s.core.v1.Namespace(
                "namespace", metadata={"name": name, "labels": NAMESPACE_LABELS}, opts=protection
            ).metadata.name
        else:
            self.namespace = existing_namespace(name)
        # Inside our own, what a killed `up` had made is taken up again: names are fixed, nothing is
        # orphaned. Inside another, what has the same name may be somebody else's, and is refused.
        # Changed Secrets are updated in place, and the pods that read them restart.
        cluster = k8s.Provider(
            "cluster",
            context=context,
            upsert_existing_objects=ours,
            enable_secret_mutable=True,
            enable_config_map_mutable=True,
        )
        self.inside = pulumi.ResourceOptions(provider=cluster)
        if not ours:
            belong = volumes_go_with_the_stack(
                self.namespace, pulumi.ResourceOptions.merge(self.inside, protection)
            )
            self.inside = pulumi.ResourceOptions.merge(
                self.inside, pulumi.ResourceOptions(transformations=[belong])
            )
        self.data = pulumi.ResourceOptions.merge(self.inside, protection)
        default_deny(self.namespace, whole=ours, opts=self.inside)
