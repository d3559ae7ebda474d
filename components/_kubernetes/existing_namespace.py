"""A namespace that somebody else made: used, and left with everything in it that is not ours."""

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import PART_OF_THE_STACK, metadata
from .._kubernetes.pods import once_done

_VOLUMES = "mlflow-volumes"


def existing_namespace(name: str) -> pulumi.Output[str]:
    """Return the name of a namespace that exists; one that does not is refused in one line.

    The line begins with the name of what looked for it, so that this name says what to do.
    """
    found = k8s.core.v1.Namespace.get(f"must exist, by `kubectl create namespace {name}`", name)
    # Under the name of a namespace that the stack makes: a stack that made it, and is told that it
    # exists, lets go of it. Otherwise the engine would delete it, with all that is in it.
    namespace = k8s.core.v1.Namespace.get(
        "namespace", name, opts=pulumi.ResourceOptions(depends_on=[found])
    )
    # Not its id, which a preview does not know.
    return once_done(namespace, name)


def volumes_go_with_the_stack(
    namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> pulumi.ResourceTransformation:
    """Return what makes every StatefulSet's volumes go when the stack does, and not before.

    Their claims outlive the StatefulSets, and no namespace takes them along here. Kubernetes' own
    `persistentVolumeClaimRetentionPolicy` would take them along with a StatefulSet that is merely
    replaced. So they belong to an object that stays as it is for as long as there is a stack.
    """
    owner = k8s.core.v1.ConfigMap(
        _VOLUMES,
        metadata=metadata(_VOLUMES, namespace, PART_OF_THE_STACK),
        data={"warning": "The volumes of this MLflow are deleted with this object."},
        opts=opts,
    )
    reference = k8s.meta.v1.OwnerReferenceArgs(
        api_version="v1",
        kind="ConfigMap",
        name=owner.metadata.apply(lambda made: made.name or ""),
        uid=owner.metadata.apply(lambda made: made.uid or ""),
    )

    def belong(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != "kubernetes:apps/v1:StatefulSet":
            return None
        spec: Any = args.props["spec"]
        for claim in spec.volume_claim_templates:
            claim.metadata.owner_references = [reference]
        return pulumi.ResourceTransformationResult(props=args.props, opts=args.opts)

    return belong
