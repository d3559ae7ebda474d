"""The end of a rotation: former passwords are refused, and encrypted values get the new keys."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi

from ._kubernetes.arguments import known_keys, rotations
from ._kubernetes.labels import labels
from ._kubernetes.pod_options import PodOptions
from ._kubernetes.pods import Credentials, python_job

ENDED_BY_THE_JOB = ("database", "store", "kek", "webhook")
"""What is still good beside its successor, until the Job has run."""


class RotationArgs(TypedDict):
    """How many times each password or key was rotated."""

    database: NotRequired[int]
    """The input ``rotation`` of the backend store. Defaults to 0."""
    store: NotRequired[int]
    """The input ``rotation`` of the artifact store. Defaults to 0."""
    admin: NotRequired[int]
    """The password of MLflow's user ``admin``. Defaults to 0."""
    page: NotRequired[int]
    """The key that signs pages. Defaults to 0."""
    kek: NotRequired[int]
    """The passphrase of the key (KEK) that encrypts the keys of model providers. Defaults to 0."""
    webhook: NotRequired[int]
    """The key that encrypts the secrets of webhooks. Defaults to 0."""


def numbers(component: str, rotation: RotationArgs) -> dict[str, int]:
    """Return the numbers that are not 0.

    Raises:
        pulumi.RunError: naming the component, the input, and what is accepted.
    """
    known_keys(f"{component}.rotation", rotation, RotationArgs)
    given: Mapping[str, object] = {**rotation}
    known = {key: rotations(f"{component}.rotation.{key}", given[key]) for key in given}
    return {key: number for key, number in known.items() if number}


def end_former(
    server: str,
    *,
    namespace: pulumi.Input[str],
    image: pulumi.Input[str],
    pods: PodOptions,
    backends: Sequence[pulumi.Input[Credentials]],
    former_pod_seconds: int,
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the Job that ends former logins and keys when all servers are new.

    Args:
        server: name of the tracking server.
        namespace: the namespace of the Job.
        image: the server's image.
        pods: what the platform demands of the pods.
        backends: the databases, the stores and the keys, with the Secrets by which logins end.
        former_pod_seconds: how long a former server may take to end.
        opts: options of the Job, which comes after the new servers.
    """
    name = f"{server}-rotation"
    python_job(
        name,
        module="mlflow_kubernetes.end_former",
        namespace=namespace,
        labels=labels(name, "mlflow", "rotation"),
        image=image,
        pods=pods,
        backends=backends,
        seconds=120 + former_pod_seconds,
        environment={"FORMER_POD_SECONDS": str(former_pod_seconds)},
        opts=opts,
    )
