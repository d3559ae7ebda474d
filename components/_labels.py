"""Labels and names that every object of the stack carries."""

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
