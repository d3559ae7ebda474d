"""Labels and names that every object of the stack carries."""


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
        "app.kubernetes.io/part-of": "mlflow",
        "app.kubernetes.io/managed-by": "pulumi",
    }
