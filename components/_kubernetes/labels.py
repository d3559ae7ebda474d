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
    labels: pulumi.Input[dict[str, str]],
    annotations: Mapping[str, str] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    """Return the metadata of an object with a fixed name.

    The annotations are for the provider's server-side apply. The field manager is fixed: by default
    the provider picks a random one for each new object, and keeps it in the state, which an ``up``
    that was killed did not write; its fields would then stay with a manager that is gone. The
    program's values are forced: a field that ``kubectl scale``, another controller or an earlier
    manager has changed would otherwise fail this ``up`` and every later one as a conflict.
    """
    ours = {"pulumi.com/patchFieldManager": "mlflow-stack", "pulumi.com/patchForce": "true"}
    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=namespace,
        labels=labels,
        annotations={**ours, **(annotations or {})},
    )
