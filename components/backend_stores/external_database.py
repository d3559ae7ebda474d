"""Backend store: a database outside the stack, which a Job checks first."""

from typing import NotRequired, TypedDict

import pulumi

from .._component import Component
from .._defaults import EXTERNAL_CONNECTIONS, MYSQL_IMAGE, NAMESPACE, POSTGRES_IMAGE, SERVER_IMAGE
from .._kubernetes.arguments import applied, checked, known_keys, recorded
from .._kubernetes.grammars import DATABASE, database_uri
from .._kubernetes.labels import labels
from .._kubernetes.network_policies import Path, outside
from .._kubernetes.pod_options import PodArgs, pod_options
from .._kubernetes.pods import FILES, Credentials
from .._kubernetes.preflight import checked_credentials
from .._kubernetes.retention import RetentionArgs
from .._kubernetes.uris import (
    database_port,
    is_mysql,
    tls_conflict,
    with_authority,
    with_connect_timeout,
)

_CA_FILE = "database-ca.pem"


class ExternalDatabaseArgs(TypedDict):
    """Inputs of :class:`ExternalDatabase`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    server_image: NotRequired[pulumi.Input[str]]
    """Image of the tracking server, which checks the database. Defaults to the one that
    images/mlflow builds."""
    client_image: NotRequired[pulumi.Input[str]]
    """Image with the database's own programs, of the database's release or newer: it dumps and
    restores the database. Defaults to the release of PostgreSQL that is tested, or of MySQL where
    ``uri`` is of MySQL."""
    retention: NotRequired[RetentionArgs]
    """What becomes of generated passwords: ``StackNamespace.retention``. Defaults to: Pulumi may
    delete them."""
    uri: NotRequired[pulumi.Input[str] | None]
    """SQLAlchemy URI that names the driver. Either ``uri`` or ``secret`` is required, because
    nothing else says where the database is. Defaults to the URI in ``secret``."""
    auth_uri: NotRequired[pulumi.Input[str] | None]
    """SQLAlchemy URI of the database of users. Defaults to the URI in ``secret``."""
    secret: NotRequired[pulumi.Input[str] | None]
    """Name of a Secret of the namespace with keys ``MLFLOW_BACKEND_STORE_URI`` and
    ``MLFLOW_AUTH_DATABASE_URI``. Defaults to a Secret that the component makes of the URIs."""
    auth: NotRequired[bool]
    """Whether there is a database of users. Defaults to ``True``."""
    connections: NotRequired[int | None]
    """How many connections MLflow may hold at once. Defaults to 90: PostgreSQL allows 100 unless
    its owner changes that."""
    ca: NotRequired[str | None]
    """Certificates to trust at the database, as PEM. The driver checks the host's name too. URIs in
    ``secret`` have to name the file themselves; the check refuses those that do not. Defaults to
    none: the options of the URIs decide on TLS."""
    networks: NotRequired[list[str]]
    """Networks that the database is in, as CIDRs. Defaults to any but the cloud's own."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. Defaults to nothing."""


class ExternalDatabase(Component):
    """A PostgreSQL or MySQL database outside the stack."""

    credentials: Credentials
    """The Secret with key ``MLFLOW_BACKEND_STORE_URI`` and, with ``auth``,
    ``MLFLOW_AUTH_DATABASE_URI``. Known after a Job has made, used and dropped tables there."""
    connections: int
    """How many connections MLflow may hold at once."""
    client_image: pulumi.Input[str]
    """Image with the database's own programs."""

    def __init__(
        self, name: str, args: ExternalDatabaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        known_keys(name, args, ExternalDatabaseArgs)
        uri, secret = _address(f"{name}.uri", args.get("uri")), args.get("secret")
        auth_uri = _address(f"{name}.auth_uri", args.get("auth_uri"))
        if (uri is None) == (secret is None):
            raise pulumi.RunError(f"{name}: expected either uri or secret, and not both")
        where = outside(name, args.get("networks", []))
        kept = recorded(args, "uri", "auth_uri")
        super().__init__("ExternalDatabase", name, kept, opts)
        self.connections = args.get("connections") or EXTERNAL_CONNECTIONS
        self.client_image = args.get("client_image") or _client_image(uri)
        ca = args.get("ca")

        def complete(address: str) -> str:
            if ca and (conflict := tls_conflict(address)):
                raise pulumi.RunError(f"{name}.ca: its address has {conflict}; expected none")
            with_limit = with_connect_timeout(address)
            return with_authority(with_limit, f"{FILES}/{_CA_FILE}") if ca else with_limit

        uris = {
            key: pulumi.Output.secret(given).apply(complete)
            for key, given in (
                ("MLFLOW_BACKEND_STORE_URI", uri),
                ("MLFLOW_AUTH_DATABASE_URI", auth_uri),
            )
            if given is not None
        }
        ports = [pulumi.Output.unsecret(one.apply(database_port)) for one in uris.values()]
        self.credentials = checked_credentials(
            f"{name}-database",
            module="mlflow_kubernetes.check_database",
            namespace=args.get("namespace", NAMESPACE),
            role="backend-store",
            image=args.get("server_image", SERVER_IMAGE),
            pods=pod_options(
                name,
                args.get("pods"),
                namespace=args.get("namespace", NAMESPACE),
                labels=labels(name, "mlflow", "backend-store"),
                opts=pulumi.ResourceOptions(parent=self),
            ),
            # The program cannot read the port in a Secret that exists.
            reached_by=[Path(where, tcp=ports, any_tcp=not ports)],
            variables=uris,
            files={_CA_FILE: ca} if ca else {},
            existing=[secret] if secret else [],
            environment={
                "CONNECTIONS": str(self.connections),
                **({"AUTHENTICATION": "true"} if args.get("auth", True) else {}),
                **({"DATABASE_CA": f"{FILES}/{_CA_FILE}"} if ca else {}),
            },
            retention=args.get("retention", {}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs(
            {
                "credentials": self.credentials,
                "connections": self.connections,
                "client_image": self.client_image,
            }
        )


def _address(where: str, given: pulumi.Input[str] | None) -> pulumi.Input[str] | None:
    """Return an address, if one is given.

    Raises:
        pulumi.RunError: if the text is no address of a database; without the text, which is secret.
    """
    if given is None:
        return None
    return applied(given, lambda uri: checked(where, uri, database_uri, DATABASE, secret=True))


def _client_image(uri: pulumi.Input[str] | None) -> pulumi.Output[str]:
    """Return the image with the programs of the database that an address names."""
    return pulumi.Output.unsecret(
        pulumi.Output.from_input("" if uri is None else uri).apply(
            lambda known: MYSQL_IMAGE if is_mysql(known) else POSTGRES_IMAGE
        )
    )
