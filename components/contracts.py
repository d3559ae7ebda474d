"""The outputs that components read of each other, and inputs that refer to a component.

A Python program passes the component. A program in another language passes a structure of the
component's outputs, which is known only during the ``up``.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, NotRequired, Protocol, TypedDict, cast

import pulumi

from ._kubernetes.pods import Credentials


class BackendStore(Protocol):
    """A backend store: a component of ``backend_stores``, or an object with these attributes."""

    credentials: Credentials
    """The Secret with keys ``MLFLOW_BACKEND_STORE_URI`` and, if there are users,
    ``MLFLOW_AUTH_DATABASE_URI``. Known when the store takes queries."""
    connections: int
    """How many connections MLflow may hold at once."""
    client_image: pulumi.Input[str]
    """Image with the database's own programs, of the server's release or newer: it dumps and
    restores the database."""


class BackendStoreOutputs(TypedDict):
    """Outputs of a backend store."""

    credentials: pulumi.Input[Credentials]
    """The store's output ``credentials``. Required because nothing else reaches the store."""
    connections: pulumi.Input[int]
    """The store's output ``connections``. Required because pools are sized by it."""
    client_image: NotRequired[pulumi.Input[str]]
    """The store's output ``client_image``. Defaults to none: the database is not dumped."""
    replication: NotRequired[pulumi.Input[Credentials] | None]
    """The store's output ``replication``. Defaults to none: the database is not copied."""
    rotated: NotRequired[pulumi.Input[Credentials] | None]
    """The store's output ``rotated``, by which former logins are ended. Defaults to none."""


BackendStoreInput = (
    BackendStore
    | BackendStoreOutputs
    | Awaitable[BackendStoreOutputs]
    | pulumi.Output[BackendStoreOutputs]
)
"""Type of an input that refers to a backend store."""


class ArtifactStore(Protocol):
    """An artifact store: a component of ``artifact_stores``, or an object with these attributes."""

    artifact_root: pulumi.Output[str]
    """Where artifacts are kept, as a URI that MLflow reads."""
    endpoint_url: pulumi.Output[str]
    """URL of the store outside the cluster; empty where it has none."""
    credentials: Credentials
    """The Secret with key ``MLFLOW_ARTIFACTS_DESTINATION`` and the other variables of the store's
    client. Known when the store takes artifacts."""
    client_env: pulumi.Output[dict[str, str]]
    """The environment of a client that reaches the store itself: secret if it has a key."""


class ArtifactStoreOutputs(TypedDict):
    """Outputs of an artifact store."""

    credentials: pulumi.Input[Credentials]
    """The store's output ``credentials``. Required because nothing else reaches the store."""
    artifact_root: NotRequired[pulumi.Input[str]]
    """The store's output ``artifact_root``. Defaults to none: clients do not reach the store."""
    client_env: NotRequired[pulumi.Input[dict[str, str]]]
    """The store's output ``client_env``. Defaults to nothing."""
    rotated: NotRequired[pulumi.Input[Credentials] | None]
    """The store's output ``rotated``, by which former keys are removed. Defaults to none."""


ArtifactStoreInput = (
    ArtifactStore
    | ArtifactStoreOutputs
    | Awaitable[ArtifactStoreOutputs]
    | pulumi.Output[ArtifactStoreOutputs]
)
"""Type of an input that refers to an artifact store."""


class Tracking(Protocol):
    """A tracking server: :class:`TrackingServer`, or an object with these attributes."""

    tracking_uri_in_cluster: pulumi.Output[str]
    """The tracking URI for pods of any namespace."""
    client_labels: dict[str, str]
    """Labels with which a pod of the server's namespace reaches the server."""
    auth: bool
    """Whether clients need a user's name and password."""
    logins: dict[str, Credentials]
    """For each user except the admin, the Secret with the login; empty without a login."""


class TrackingOutputs(TypedDict):
    """Outputs of a tracking server."""

    tracking_uri_in_cluster: pulumi.Input[str]
    """The server's output ``tracking_uri_in_cluster``. Required: a client needs it."""
    client_labels: pulumi.Input[dict[str, str]]
    """The server's output ``client_labels``. Required because network policies deny
    other pods."""
    logins: pulumi.Input[dict[str, Credentials]]
    """The server's output ``logins``. Required: it is empty if the server has no login."""


TrackingInput = (
    Tracking | TrackingOutputs | Awaitable[TrackingOutputs] | pulumi.Output[TrackingOutputs]
)
"""Type of an input that refers to a tracking server."""


class BackupTarget(TypedDict):
    """Where backups are kept: Secrets, a claim and an image, for a pod that reaches backups.

    A target can take the place of :class:`Credentials`. The keys of ``secret`` are the variables
    that images/mlflow (backup/target.py) reads. A pod that reaches a target of kind ``artifacts``
    needs the credentials of the artifact store as well.
    """

    secret: pulumi.Input[str]
    """Name of the Secret with the passphrase and the place. Required because nothing else has
    them."""
    fingerprint: pulumi.Input[str]
    """Hash that changes when the content of the Secret changes; no secret itself. Required because
    a pod reads its environment once."""
    more_secrets: NotRequired[list[pulumi.Input[str]]]
    """Name of a Secret with the key of a bucket. Defaults to none."""
    more_secrets_prefix: NotRequired[str]
    """Prefix of the names of its variables. Defaults to nothing."""
    files: NotRequired[list[pulumi.Input[str]]]
    """Name of a Secret with the certificates to trust. Defaults to none."""
    host_aliases: NotRequired[dict[str, list[str]]]
    """Host names that DNS does not know, by address. Defaults to none."""
    service_account: NotRequired[pulumi.Input[str] | None]
    """Service account whose pods the target lets in. Defaults to the namespace's own."""
    client_labels: NotRequired[dict[str, str]]
    """Labels of the pods that may reach the target through the network. Defaults to none."""
    claim: NotRequired[pulumi.Input[str] | None]
    """Name of the claim of the volume that is the target. Defaults to none: the target is no
    volume."""
    rclone_image: pulumi.Input[str]
    """Image of rclone. Required because the pods that reach the target take rclone from it."""


class BackupsOutput(Protocol):
    """Backups: :class:`Backups`, or an object with this attribute."""

    target: BackupTarget
    """Where backups are kept."""


class BackupsOutputs(TypedDict):
    """Outputs of backups."""

    target: pulumi.Input[BackupTarget]
    """The output ``target``. Required because nothing else reaches the backups."""


BackupsInput = (
    BackupsOutput | BackupsOutputs | Awaitable[BackupsOutputs] | pulumi.Output[BackupsOutputs]
)
"""Type of an input that refers to backups."""


def output_of(component: object, name: str) -> Any:
    """Return the output ``name`` of a component, of its outputs, or of an Output of either.

    The type of the input that refers to the component promises that there is such an output.
    """
    if isinstance(component, (pulumi.Output, Awaitable)):
        given = cast("pulumi.Input[object]", component)
        return pulumi.Output.all(given).apply(lambda known: output_of(known[0], name))
    if isinstance(component, Mapping):
        return cast("Mapping[str, Any]", component).get(name)
    return getattr(component, name, None)
