"""Names, labels and annotations that every object of the stack carries."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

PART_OF_THE_STACK = {
    "app.kubernetes.io/part-of": "mlflow",
    "app.kubernetes.io/managed-by": "pulumi",
}
NAMESPACE_LABELS = {**PART_OF_THE_STACK, "pod-security.kubernetes.io/enforce": "restricted"}
"""Kubernetes itself refuses a pod in this namespace that is not under the restricted profile."""


def selector(name: str, app: str) -> dict[str, str]:
    """Return the labels that pick the pods of one component; they can never change afterwards."""
    return {"app.kubernetes.io/name": app, "app.kubernetes.io/instance": name}


def labels(name: str, app: str, role: str) -> dict[str, str]:
    """Return the labels recommended by Kubernetes for an object of component ``name``.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
    """
    return {
        **selector(name, app),
        "app.kubernetes.io/component": role,
        **PART_OF_THE_STACK,
    }


def metadata(
    name: str,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    annotations: Mapping[str, str] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    """Return the metadata of an object with a fixed name.

    The field manager is fixed as well: by default the provider picks a random one for each new
    object, and the manager of an ``up`` that was killed would then be in conflict with that of the
    next one, over the same fields (StatefulSets' claim templates, which are compared as a whole).
    """
    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=namespace,
        labels=labels,
        annotations={"pulumi.com/patchFieldManager": "mlflow-stack", **(annotations or {})},
    )
