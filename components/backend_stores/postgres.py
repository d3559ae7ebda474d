"""Backend store: PostgreSQL with generated passwords, a single server or several members."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from .._component import Component
from .._defaults import NAMESPACE, PATRONI_IMAGE, POSTGRES_IMAGE
from .._kubernetes.api_access import token_mount, token_volume
from .._kubernetes.arguments import known_keys, rotations
from .._kubernetes.data_server import volume_check
from .._kubernetes.pod_options import PodArgs
from .._kubernetes.pods import Credentials, exec_probe, secret_env
from .._kubernetes.retention import RetentionArgs
from ..backend_stores import _patroni
from ..backend_stores._postgres_upgrade import MINUTES, upgrade
from ..backend_stores._replication import HBA, HBA_FILE, SETTINGS, replication
from ..backend_stores._server import (
    AUTH_DATABASE,
    DATABASE,
    USER,
    Kind,
    Members,
    Place,
    Sizes,
    database_server,
    server_pod,
    sizes,
)
from ..held_data import HeldData, VersionRule

PORT = 5432
POSTGRES_USER = 999
"""User id of the official image (docker-library/postgres, Debian variant)."""

CREATE_APPLICATION_USER = """\
-- A failed statement would be logged with the password in it.
SET log_min_error_statement = 'panic';
\\getenv application_user APPLICATION_USER
\\getenv application_password APPLICATION_PASSWORD
\\getenv application_database APPLICATION_DATABASE
\\getenv auth_database AUTH_DATABASE
CREATE ROLE :"application_user" LOGIN PASSWORD :'application_password';
CREATE DATABASE :"application_database" OWNER :"application_user";
CREATE DATABASE :"auth_database" OWNER :"application_user";
-- Unless it is revoked, everybody may connect to every database.
REVOKE ALL ON DATABASE postgres, template1, :"application_database", :"auth_database" FROM PUBLIC;
"""
"""The image runs this script once, on an empty volume. MLflow's user owns MLflow's databases, and
nothing else."""

FOLDER = "/var/lib/postgresql"
"""Where the volume is mounted. The image of PostgreSQL 18 keeps its data in 18/docker below this
folder, and does not start with a volume at the older .../data."""
_SOCKET = "/var/run/postgresql"
CHECK_VOLUME = """\
has=$(postgres --version 2> /dev/null | sed 's/^[^0-9]*\\([0-9]*\\).*/\\1/')
data=${PGDATA%/}
# The image makes an empty database where this file is not, and looks nowhere else.
set -- "$data"/PG_VERSION "$1"/PG_VERSION "$1"/*/PG_VERSION "$1"/*/*/PG_VERSION
for file; do
  # Data that an upgrade to another major version has left.
  if [ "${file%/former/PG_VERSION}" != "$file" ]; then
    continue
  fi
  if [ -s "$file" ]; then
    read -r held < "$file"
    if [ "$held" = "${has:-$held}" ] && [ "$file" = "$data/PG_VERSION" ]; then
      exit
    fi
    echo "error: the volume has data of PostgreSQL $held in ${file%/*}, and this image is" \
      "PostgreSQL $has with its data in $data: take an image of PostgreSQL $held;" \
      "see docs/moving-data.md" >&2
    exit 1
  fi
done
"""
"""Fails where the image would make an empty database although the volume has another one."""
VERSIONS = VersionRule(
    re.compile(r"(?:.*pg-?|\D*)(\d+)"),
    lambda held, new: held == new,
    "a release of PostgreSQL {0}, whose data is on the volume, or a newer major version with "
    "{former_image}",
)
"""Each major version has a data format of its own."""


class PostgresArgs(TypedDict):
    """Inputs of :class:`Postgres`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    image: NotRequired[pulumi.Input[str]]
    """Image that works as the official one, of major version 18. Defaults to the release that is
    tested."""
    replicas: NotRequired[int]
    """Number of members, 1, 3 or 5. With 3, a write is acknowledged when two members have it, and
    another one takes the writes when the one that did is lost. Defaults to 1, a single server."""
    patroni_image: NotRequired[pulumi.Input[str]]
    """Image of the members, where there are several: PostgreSQL of the major version of ``image``,
    with Patroni. Defaults to the one that is built from images/patroni."""
    former_image: NotRequired[pulumi.Input[str] | None]
    """Image of the former major version, whose data is moved to the major version of ``image`` when
    the pod next starts. Defaults to none: the data must be of the major version of ``image``."""
    storage: NotRequired[pulumi.Input[str]]
    """Size of the data volume, as a Kubernetes quantity. Defaults to ``8Gi``."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of the data volume. Defaults to the cluster's default class."""
    memory: NotRequired[str | None]
    """Memory of the server, as a Kubernetes quantity. A quarter of it becomes the cache
    ``shared_buffers``. Defaults to ``1Gi``, with PostgreSQL's own size of the
    cache."""
    cpus: NotRequired[int]
    """How many processors the server may use. Defaults to 4."""
    connections: NotRequired[int | None]
    """How many connections MLflow may hold at once; the server accepts 10 more. Defaults to 190."""
    rotation: NotRequired[int]
    """How many times the passwords were rotated. A higher number makes new logins; the tracking
    server's input ``rotation`` with the same number ends the former ones. Defaults to 0."""
    replication: NotRequired[bool]
    """Whether the server has a login that may copy all data and the write-ahead log (WAL), for
    backups that can bring back any moment. The component then replaces ``pg_hba.conf``. Defaults
    to ``False``."""
    retention: NotRequired[RetentionArgs]
    """What becomes of the volumes and the generated passwords: ``StackNamespace.retention``.
    Defaults to: the volumes stay until their namespace is deleted, and Pulumi may delete the
    passwords."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. Defaults to nothing."""


class Postgres(Component):
    """A PostgreSQL server, or several members, each on a volume of its own, with two databases for
    MLflow."""

    host: pulumi.Output[str]
    """DNS name of the service, valid inside the cluster."""
    credentials: Credentials
    """The Secret with keys ``MLFLOW_BACKEND_STORE_URI`` and ``MLFLOW_AUTH_DATABASE_URI``. Known
    when the server takes queries."""
    connections: int
    """How many connections MLflow may hold at once."""
    client_image: pulumi.Input[str]
    """Image with the database's own programs: the server's."""
    replication: Credentials | None
    """The Secret with the login that copies the server's data, as libpq's variables; None without
    the input ``replication``."""
    rotated: Credentials | None
    """The Secret by which former logins are ended; None without a rotation."""

    rotates = (("database", "password"),)
    holds = (
        HeldData(
            storage="storage",
            count="replicas",
            fewer="the first member may lack what was written last",
            image="image",
            image_of_several="patroni_image",
            versions=VERSIONS,
            former_image="former_image",
        ),
    )

    def __init__(
        self,
        name: str,
        args: PostgresArgs = {},  # noqa: B006 (never changed)
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        known_keys(name, args, PostgresArgs)
        sized, number = sizes(name, args), _replicas(name, args)
        rotation = rotations(f"{name}.rotation", args.get("rotation", 0))
        super().__init__("Postgres", name, args, opts)
        child = pulumi.ResourceOptions(parent=self)
        copied = args.get("replication", False)
        server = database_server(name, args, _kind(args, sized, number), child, rotation)
        self.host, self.credentials = server.host, server.credentials
        self.connections = sized.connections
        self.client_image = args.get("image", POSTGRES_IMAGE)
        self.replication = (
            replication(
                name,
                server,
                self.client_image,
                namespace=args.get("namespace", NAMESPACE),
                retention=args.get("retention", {}),
                rotation=rotation,
                opts=child,
            )
            if copied
            else None
        )
        self.rotated = server.rotated
        self.register_outputs(
            {
                "host": self.host,
                "credentials": self.credentials,
                "connections": self.connections,
                "client_image": self.client_image,
                "replication": self.replication,
                "rotated": self.rotated,
            }
        )


def _pod(
    image: pulumi.Input[str],
    secret: pulumi.Input[str],
    first_start: pulumi.Input[str],
    *,
    former: pulumi.Input[str] | None,
    sized: Sizes,
    settings: Sequence[str],
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of a single server, for an image that works as the official one."""
    given = (f"{key}={value}" for key, value in _of_size(sized).items())
    container = k8s.core.v1.ContainerArgs(
        name="postgres",
        image=image,
        args=["postgres", *(part for one in (*given, *settings) for part in ("-c", one))],
        env=[
            secret_env("POSTGRES_PASSWORD", secret, "POSTGRES_PASSWORD"),
            *_application(secret),
        ],
        ports=[k8s.core.v1.ContainerPortArgs(name="postgres", container_port=PORT)],
        # During the first start, the server listens on its socket alone. So a probe over TCP does
        # not succeed too early. The image's pg_hba.conf trusts 127.0.0.1, so no probe needs a
        # password.
        startup_probe=exec_probe(_QUERY, period=1, failures=180),
        # Ready means: the server takes the queries of MLflow's user. Alive means: a server answers.
        # So a server whose connections are all in use is not killed.
        readiness_probe=exec_probe(_QUERY, period=10, failures=2),
        liveness_probe=exec_probe(["pg_isready", "-h", "127.0.0.1"], period=30, failures=4),
        resources=sized.resources("256Mi"),
    )
    # The image's stop signal (SIGINT) is PostgreSQL's fast shutdown, which writes a checkpoint.
    return server_pod(
        container,
        first_start,
        user=POSTGRES_USER,
        folder=FOLDER,
        socket=_SOCKET,
        first=[
            *(upgrade(former, image, FOLDER) if former else ()),
            volume_check(image, CHECK_VOLUME, FOLDER),
        ],
    )


def _application(secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
    """Return the variables of ``CREATE_APPLICATION_USER``."""
    return [
        secret_env("APPLICATION_PASSWORD", secret, "APPLICATION_PASSWORD"),
        k8s.core.v1.EnvVarArgs(name="APPLICATION_USER", value=USER),
        k8s.core.v1.EnvVarArgs(name="APPLICATION_DATABASE", value=DATABASE),
        k8s.core.v1.EnvVarArgs(name="AUTH_DATABASE", value=AUTH_DATABASE),
    ]


def _of_size(sized: Sizes) -> dict[str, str]:
    """Return the server's settings that follow from its size."""
    connections = {"max_connections": str(sized.all_connections)}
    if sized.mebibytes is None:
        return connections
    # https://www.postgresql.org/docs/18/runtime-config-resource.html: a quarter of the memory is a
    # reasonable start. The kernel's cache of files is in the pod's memory too.
    cache, both = sized.mebibytes // 4, sized.mebibytes * 3 // 4
    return {**connections, "shared_buffers": f"{cache}MB", "effective_cache_size": f"{both}MB"}


_QUERY = ["psql", "-h", "127.0.0.1", "-U", USER, "-d", DATABASE, "-qtAc", "SELECT 1"]


def _replicas(name: str, args: PostgresArgs) -> int:
    """Return the number of members.

    Raises:
        pulumi.RunError: if it is not accepted, or another input contradicts it.
    """
    number = args.get("replicas", 1)
    if number not in _patroni.NUMBERS:
        accepted = " or ".join(map(str, _patroni.NUMBERS))
        raise pulumi.RunError(f"{name}.replicas: {number}; accepted: {accepted}")
    if number == 1:
        return 1
    for key in ("replication", "former_image"):
        if value := args.get(key):
            accepted = f"nothing with replicas {number:.0f}"
            raise pulumi.RunError(f"{name}.{key}: {value}; accepted: {accepted}")
    image, of_members = args.get("image", POSTGRES_IMAGE), args.get("patroni_image", PATRONI_IMAGE)
    if (
        isinstance(image, str)
        and isinstance(of_members, str)
        and (same := other_version(image, of_members))
    ):
        raise pulumi.RunError(f"{name}.patroni_image: {of_members!r}; accepted: {same}")
    # The engine gives a program of another language its whole numbers as floats.
    return int(number)


def other_version(image: str, of_members: str) -> str | None:
    """Return which images of the members are accepted, if this one is of another major version.

    Args:
        image: image of a single server, whose programs dump and restore.
        of_members: image of the members.
    """
    version, other = VERSIONS.version(image), VERSIONS.version(of_members)
    if not version or not other or version == other:
        return None
    return f"an image of PostgreSQL {version[0]}, as {image!r} is"


def _members(place: Place, *, image: pulumi.Input[str], number: int, sized: Sizes) -> Members:
    """Make what several members need; return their pods.

    Args:
        place: where they are.
        image: image of PostgreSQL with Patroni.
        number: number of the members.
        sized: how much each server may take.
    """
    made = _patroni.patroni(place, number)
    ingress, egress = _patroni.ways(place.name, "postgres", PORT)
    return Members(
        pod=partial(_member, place=place, number=number, sized=sized, made=made),
        image=image,
        number=number,
        takes_writes={_patroni.ROLE: _patroni.PRIMARY},
        ingress=ingress,
        egress=egress,
        passwords=made.passwords,
        after=made.made,
    )


def _member(
    image: pulumi.Input[str],
    secret: pulumi.Input[str],
    first_start: pulumi.Input[str],
    *,
    place: Place,
    number: int,
    sized: Sizes,
    made: _patroni.Patroni,
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of a member, for an image with Patroni."""
    variables = _patroni.environment(
        place,
        "postgres",
        number,
        _of_size(sized),
        superuser=secret_env("PATRONI_SUPERUSER_PASSWORD", secret, "POSTGRES_PASSWORD"),
        secret=made.secret,
    )
    container = _patroni.member("postgres", image, PORT, [*variables, *_application(secret)], sized)
    # A primary that is stopped writes a checkpoint, and waits until another member has it.
    return server_pod(
        container,
        first_start,
        user=POSTGRES_USER,
        folder=FOLDER,
        socket=_SOCKET,
        first=[volume_check(image, CHECK_VOLUME, FOLDER)],
        mounts=[token_mount()],
        volumes=[token_volume()],
        service_account_name=made.account,
    )


def _kind(args: PostgresArgs, sized: Sizes, number: int) -> Kind:
    """Return the facts of PostgreSQL.

    Args:
        args: the component's inputs.
        sized: how much each server may take.
        number: number of the members.
    """
    former, copied = args.get("former_image"), args.get("replication", False)
    kind = Kind(
        app="postgres",
        port=PORT,
        image=POSTGRES_IMAGE,
        driver="postgresql+psycopg2",
        superuser="superuser",
        superuser_variable="POSTGRES_PASSWORD",
        user_variable="APPLICATION_PASSWORD",
        first_start={
            "application-user.sql": CREATE_APPLICATION_USER,
            # The image runs the scripts of the folder, and leaves other files alone.
            **({HBA_FILE: HBA} if copied else {}),
        },
        pod=partial(_pod, former=former, sized=sized, settings=SETTINGS if copied else ()),
    )
    if number > 1:
        image = args.get("patroni_image", PATRONI_IMAGE)
        return replace(
            kind,
            members=partial(_members, image=image, number=number, sized=sized),
            driver_options=_patroni.DRIVER_OPTIONS,
            minutes=_patroni.MINUTES,
        )
    return replace(kind, minutes=MINUTES) if former else kind
