"""Names, labels and annotations that every object of the stack carries."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

PART_OF_THE_STACK = {
    "app.kubernetes.io/part-of": "mlflow",
    "app.kubernetes.io/managed-by": "pulumi",
}
NAMESPACE_LABELS = {**PART_OF_THE_STACK, "pod-security.kubernetes.io/enforce": "restricted"}
"""With these, Kubernetes refuses pods that are not under the profile `restricted`."""


def selector(name: str, app: str) -> dict[str, str]:
    """Return the labels that pick the pods of one component.

    A selector of a Deployment or StatefulSet cannot change, so these labels must not change.
    """
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
    """Return the metadata of an object with a fixed name, with annotations for the provider.

    The field manager of server-side apply is fixed. By default, the provider picks a random one and
    keeps the name in the state. An ``up`` that was killed did not write the state, so the fields
    would stay with a manager that is gone. The program's values are forced. Otherwise a field that
    ``kubectl scale`` or a controller has changed fails every ``up`` as a conflict.
    """
    ours = {"pulumi.com/patchFieldManager": "mlflow-stack", "pulumi.com/patchForce": "true"}
    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=namespace,
        labels=labels,
        annotations={**ours, **(annotations or {})},
    )
