"""What components read of each other: the attributes that an input by reference must have."""

from typing import Protocol

import pulumi

from ._kubernetes.pods import Credentials


class BackendStore(Protocol):
    """A backend store: a component of ``backend_stores``, or any object with these attributes."""

    credentials: Credentials
    """The Secret with keys ``MLFLOW_BACKEND_STORE_URI`` and, where there are users,
    ``MLFLOW_AUTH_DATABASE_URI``; known once the store takes queries."""
    connections: int
    """How many connections MLflow may hold at once."""


class ArtifactStore(Protocol):
    """An artifact store: a component of ``artifact_stores``, or an object with these attributes."""

    artifact_root: pulumi.Output[str]
    """Where artifacts are kept, as a URI that MLflow reads."""
    endpoint_url: pulumi.Output[str]
    """URL of the store outside the cluster; empty where it has none."""
    credentials: Credentials
    """The Secret with key ``MLFLOW_ARTIFACTS_DESTINATION`` and all that the store's client needs;
    known once the store takes artifacts."""
    client_env: pulumi.Output[dict[str, str]]
    """The environment of a client that reaches the store itself; secret where a key is in it."""


class Tracking(Protocol):
    """A tracking server: :class:`TrackingServer`, or an object with these attributes."""

    tracking_uri_in_cluster: pulumi.Output[str]
    """Where pods find it, from any namespace."""
    client_labels: dict[str, str]
    """Labels with which a pod of the server's own namespace reaches it."""
    auth: bool
    """Whether clients need a user's name and password."""
    logins: dict[str, Credentials]
    """A Secret with the login of each of its users but the admin; none where there is no login."""
