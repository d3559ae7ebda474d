"""The objects of a database server in the cluster, for each kind of database."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from .._defaults import DATABASE_CONNECTIONS, DATABASE_CPUS, DATABASE_STORAGE, NAMESPACE
from .._kubernetes.arguments import checked
from .._kubernetes.data_server import DATA_VOLUME, data_server
from .._kubernetes.labels import labels, metadata, selector
from .._kubernetes.network_policies import Path, after, client_labels, server_policies
from .._kubernetes.pod_options import PodArgs, PodOptions, pod_options
from .._kubernetes.pods import Credentials, resources, restricted_pod
from .._kubernetes.quantities import amount
from .._kubernetes.retention import RetentionArgs, generations
from .._kubernetes.uris import database_uri, fingerprint, service_host
from ..backend_stores._former_logins import former_logins
from ..backend_stores._rotation import Passwords, rotated_login

USER = "mlflow"
DATABASE = "mlflow"
AUTH_DATABASE = "mlflow_auth"
"""Database of users and permissions. It is always made, so that a login can be added later."""
FIRST_START_FOLDER = "/docker-entrypoint-initdb.d"
"""Both official images run the scripts in this folder once, on an empty volume."""

_OTHER_CONNECTIONS = 10
"""Connections that are left for the superuser, the probes, the migration, and a person."""
_MEMORY = "1Gi"
_MEBIBYTES = 1024
_MEBIBYTE = 1 << 20
# PostgreSQL's server process of a connection, or MySQL's thread with its buffers, after load.
_MEBIBYTES_OF_A_CONNECTION = 5


class _Inputs(TypedDict):
    """The inputs that database servers have in common; each component describes its own."""

    namespace: NotRequired[pulumi.Input[str]]
    image: NotRequired[pulumi.Input[str]]
    storage: NotRequired[pulumi.Input[str]]
    storage_class: NotRequired[pulumi.Input[str] | None]
    memory: NotRequired[str | None]
    cpus: NotRequired[int]
    connections: NotRequired[int | None]
    retention: NotRequired[RetentionArgs]
    pods: NotRequired[PodArgs | None]


@dataclass(frozen=True)
class Sizes:
    """How much a database server may take."""

    mebibytes: int | None
    """Memory; None means 1 GiB, with the sizes of caches that the program itself chooses."""
    cpus: int
    connections: int
    """Connections of MLflow."""

    @property
    def all_connections(self) -> int:
        """All connections that the server accepts."""
        return self.connections + _OTHER_CONNECTIONS

    def resources(self, memory: str, beside: int = 0) -> k8s.core.v1.ResourceRequirementsArgs:
        """Return requests and limits of the server's container.

        Args:
            memory: request of memory where no memory was chosen. Chosen memory is requested whole,
                because caches fill it.
            beside: how many MiB another program of the container may take beside the server.
        """
        chosen = f"{self.mebibytes + beside}Mi" if self.mebibytes else None
        most = f"{_MEBIBYTES + beside}Mi" if beside else _MEMORY
        return resources(
            "100m", chosen or memory, most_cpu=str(self.cpus), most_memory=chosen or most
        )


def least_memory(connections: int) -> int:
    """Return how many MiB a database server needs for so many connections of MLflow."""
    return (connections + _OTHER_CONNECTIONS) * _MEBIBYTES_OF_A_CONNECTION


def sizes(name: str, args: _Inputs) -> Sizes:
    """Return the sizes of a database server.

    Raises:
        pulumi.RunError: if a size is not accepted, or the memory has no room for the connections.
    """
    connections, cpus = (
        args.get("connections") or DATABASE_CONNECTIONS,
        args.get("cpus", DATABASE_CPUS),
    )
    for key, number in (("connections", connections), ("cpus", cpus)):
        if number < 1:
            raise pulumi.RunError(f"{name}.{key}: {number}; accepted: 1 or more")
    least, given = least_memory(connections), args.get("memory")

    def enough(text: str) -> int:
        found = int((amount(text) or 0) // _MEBIBYTE)
        if found < least:
            raise ValueError(text)
        return found

    accepted = f"{least}Mi or more with {connections} connections"
    found = checked(f"{name}.memory", given or _MEMORY, enough, accepted)
    return Sizes(found if given else None, cpus, connections)


PodBuilder = Callable[
    [pulumi.Input[str], pulumi.Input[str], pulumi.Input[str]], k8s.core.v1.PodSpecArgs
]
"""Returns the pod for an image, the Secret with the passwords and the ConfigMap with the scripts of
``FIRST_START_FOLDER``."""


@dataclass(frozen=True)
class Place:
    """Where the objects of a database are made, and as whose."""

    name: str
    """Name of the server."""
    namespace: pulumi.Input[str]
    labels: dict[str, str]
    pods: PodOptions
    """What the platform demands of the pods."""
    retention: RetentionArgs
    opts: pulumi.ResourceOptions


@dataclass(frozen=True)
class Members:
    """The pods of a database: one, or several that have a copy of the data each."""

    pod: PodBuilder
    image: pulumi.Input[str]
    number: int = 1
    takes_writes: Mapping[str, str] | None = None
    """Label of the one pod that takes the writes; None: there is one pod."""
    ingress: Sequence[Path] = ()
    """Paths to the pods, beside the one of the clients."""
    egress: Sequence[Path] = ()
    passwords: Sequence[pulumi.Output[str]] = ()
    """What the pods read, beside the passwords of the superuser and of ``USER``."""
    after: Sequence[pulumi.Resource] = ()
    """What the pods come after."""


@dataclass(frozen=True)
class Kind:
    """The facts of one kind of database server."""

    app: str
    """Name of the program, for the labels and the port."""
    port: int
    image: str
    """Default image."""
    driver: str
    """Dialect and Python driver in SQLAlchemy's URI."""
    superuser: str
    """The superuser's name, for the logical name of the password."""
    superuser_variable: str
    """Variable in which the image reads the superuser's password."""
    user_variable: str
    """Variable in which the image, or ``first_start``, reads the password of ``USER``."""
    first_start: Mapping[str, str]
    """Scripts of ``FIRST_START_FOLDER``, by file name."""
    pod: PodBuilder
    """The pod of a single server."""
    members: Callable[[Place], Members] | None = None
    """Makes what several pods need; None: there is a single one."""
    driver_options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Options of the URI."""
    new_logins_at_start: bool = False
    """Whether the server makes new logins when it starts, and former ones end themselves. Otherwise
    the superuser does both while the server runs."""
    minutes: int = 5
    """How long `pulumi up` waits for the server. An image that has to be pulled takes two or three
    minutes."""


class Server(NamedTuple):
    """A database server in the cluster."""

    host: pulumi.Output[str]
    """DNS name of its Service."""
    credentials: Credentials
    superuser: tuple[pulumi.Output[str], str]
    """The Secret with the superuser's password, and the key in it. Known when the password is in
    force."""
    rotated: Credentials | None
    """The Secret that ends former logins; None if no password was rotated."""
    pods: PodOptions
    """What the platform demands of the pods."""


def database_server(
    name: str, args: _Inputs, kind: Kind, opts: pulumi.ResourceOptions, rotation: int = 0
) -> Server:
    """Make a server with generated passwords, its network policies and its credentials.

    Args:
        name: name of the server.
        args: the component's inputs.
        kind: the kind of database.
        opts: options of each object.
        rotation: how many times the passwords were rotated, of a kind that can do it.
    """
    namespace = args.get("namespace", NAMESPACE)
    retention = args.get("retention", {})
    common = labels(name, kind.app, "backend-store")
    pods = pod_options(name, args.get("pods"), namespace=namespace, labels=common, opts=opts)

    of_user = generations(f"{name}-password", 32, retention, opts, rotation)
    of_superuser = generations(f"{name}-{kind.superuser}-password", 32, retention, opts, rotation)
    # An image reads the passwords at the first start alone. So where a Job makes new logins, the
    # pod keeps the first ones, and does not restart for a rotation. Otherwise each generation has
    # keys of its own: a former pod that starts once more meanwhile finds the passwords it knows.
    kept = {
        numbered(variable, number): passwords[rotation - number]
        for number in range(rotation + 1 if kind.new_logins_at_start else 1)
        for variable, passwords in (
            (kind.superuser_variable, of_superuser),
            (kind.user_variable, of_user),
        )
    }
    secret = k8s.core.v1.Secret(
        f"{name}-server",
        metadata=metadata(f"{name}-server", namespace, common),
        string_data=kept,
        opts=opts,
    )
    first_start = k8s.core.v1.ConfigMap(
        f"{name}-first-start",
        metadata=metadata(f"{name}-first-start", namespace, common),
        data=kind.first_start,
        opts=opts,
    )
    image = args.get("image", kind.image)
    members = Members(kind.pod, image)
    if kind.members:
        members = kind.members(Place(name, namespace, common, pods, retention, opts))
    protected = server_policies(
        name,
        namespace=namespace,
        labels=common,
        applies_to=selector(name, kind.app),
        port=kind.port,
        ingress=members.ingress,
        egress=members.egress,
        opts=opts,
    )
    server = data_server(
        name,
        app=kind.app,
        namespace=namespace,
        labels=common,
        ports={kind.app: kind.port},
        pod=members.pod(members.image, secret.metadata.name, first_start.metadata.name),
        pods=pods,
        restarts_with=fingerprint(*kept.values(), *members.passwords),
        storage=args.get("storage", DATABASE_STORAGE),
        storage_class=args.get("storage_class"),
        retention=retention,
        replicas=members.number,
        leads_to=members.takes_writes,
        same_data=members.number > 1,
        minutes=kind.minutes,
        opts=after(protected, *members.after),
    )
    host = server.metadata.namespace.apply(lambda ns: service_host(name, ns))
    user = numbered(USER, rotation)
    credentials = _credentials(
        name, kind, namespace=namespace, user=user, password=of_user[0], host=host, opts=opts
    )
    if not rotation:
        superuser = (secret.metadata.name, kind.superuser_variable)
        return Server(host, credentials, superuser, None, pods)
    if kind.new_logins_at_start:
        superuser = (secret.metadata.name, numbered(kind.superuser_variable, rotation))
        former = {numbered(USER, number): of_user[rotation - number] for number in range(rotation)}
        ended = former_logins(name, kind.app, former, host=host, namespace=namespace, opts=opts)
        return Server(host, credentials, superuser, ended, pods)
    login = rotated_login(
        name,
        image,
        Passwords(user, of_user[0], of_superuser),
        owner=USER,
        host=host,
        port=kind.port,
        namespace=namespace,
        pods=pods,
        opts=opts,
    )
    return Server(
        host,
        {**credentials, "secret": login.when_made(credentials["secret"])},
        (login.when_made(login.credentials["secret"]), login.superuser_key),
        login.credentials,
        pods,
    )


def numbered(name: str, rotation: int) -> str:
    """Return the name of a login or a key after so many rotations; the first one has no number."""
    return f"{name}_{rotation}" if rotation else name


def _credentials(
    name: str,
    kind: Kind,
    *,
    namespace: pulumi.Input[str],
    user: str,
    password: pulumi.Output[str],
    host: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
) -> Credentials:
    """Make the Secret ``<name>-credentials`` with the URIs that MLflow reads."""

    def uri(database: str) -> pulumi.Output[str]:
        return pulumi.Output.all(password, host).apply(
            lambda known: database_uri(
                kind.driver,
                user=user,
                password=known[0],
                host=known[1],
                port=kind.port,
                database=database,
                **kind.driver_options,
            )
        )

    secret = k8s.core.v1.Secret(
        f"{name}-credentials",
        metadata=metadata(
            f"{name}-credentials", namespace, labels(name, kind.app, "backend-store")
        ),
        string_data={
            "MLFLOW_BACKEND_STORE_URI": uri(DATABASE),
            "MLFLOW_AUTH_DATABASE_URI": uri(AUTH_DATABASE),
        },
        opts=opts,
    )
    return {
        "secret": secret.metadata.name,
        "fingerprint": fingerprint(password, host),
        "client_labels": client_labels(name),
    }


def server_pod(
    container: k8s.core.v1.ContainerArgs,
    first_start: pulumi.Input[str],
    *,
    user: int,
    folder: str,
    socket: str,
    first: Sequence[k8s.core.v1.ContainerArgs],
    mounts: Sequence[k8s.core.v1.VolumeMountArgs] = (),
    volumes: Sequence[k8s.core.v1.VolumeArgs] = (),
    service_account_name: pulumi.Input[str] | None = None,
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of a database server.

    Args:
        container: the server.
        first_start: name of the ConfigMap with the scripts of ``FIRST_START_FOLDER``.
        user: id of the user that the server runs as.
        folder: receives the data.
        socket: folder of the server's Unix socket.
        first: init containers, in order.
        mounts: further mounts of the server.
        volumes: volumes of these mounts.
        service_account_name: the pod's service account; None means none of its own.
    """
    return restricted_pod(
        container,
        user=user,
        first=first,
        # A server that is stopped writes all data first. After SIGKILL, its next start begins with
        # a recovery.
        grace_seconds=60,
        mounts=[
            k8s.core.v1.VolumeMountArgs(name=DATA_VOLUME, mount_path=folder),
            k8s.core.v1.VolumeMountArgs(name="socket", mount_path=socket),
            k8s.core.v1.VolumeMountArgs(name="first-start", mount_path=FIRST_START_FOLDER),
            *mounts,
        ],
        volumes=[
            k8s.core.v1.VolumeArgs(name="socket", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs()),
            k8s.core.v1.VolumeArgs(
                name="first-start",
                config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=first_start),
            ),
            *volumes,
        ],
        service_account_name=service_account_name,
    )
