"""What the components agree on: what each backend store and each artifact store publishes."""

from typing import Protocol

import pulumi

from ._kubernetes.pods import Credentials


class BackendStore(Protocol):
    """What every backend store publishes, wherever it runs."""

    credentials: Credentials
    """The Secret with keys ``MLFLOW_BACKEND_STORE_URI`` and, where there are users,
    ``MLFLOW_AUTH_DATABASE_URI``; known once the store takes queries."""
    connections: int
    """How many connections MLflow may hold at once."""


class ArtifactStore(Protocol):
    """What every artifact store publishes, wherever it runs."""

    artifact_root: pulumi.Output[str]
    """Where artifacts are kept, as a URI that MLflow reads."""
    endpoint_url: pulumi.Output[str]
    """URL of the store outside the cluster; empty where it has none."""
    credentials: Credentials
    """The Secret with key ``MLFLOW_ARTIFACTS_DESTINATION`` and all that the store's client needs;
    known once the store takes artifacts."""
    client_env: pulumi.Output[dict[str, str]]
    """The environment of a client that reaches the store itself; secret where a key is in it."""
