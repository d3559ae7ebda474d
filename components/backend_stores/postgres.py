"""Backend store: a single PostgreSQL server with generated passwords."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from .._component import Component
from .._defaults import NAMESPACE, POSTGRES_IMAGE
from .._kubernetes.arguments import known_keys, rotations
from .._kubernetes.data_server import volume_check
from .._kubernetes.pod_options import PodArgs
from .._kubernetes.pods import Credentials, exec_probe, restricted_pod, secret_env
from .._kubernetes.retention import RetentionArgs
from ..backend_stores._postgres_upgrade import MINUTES, upgrade
from ..backend_stores._replication import HBA, HBA_FILE, SETTINGS, replication
from ..backend_stores._server import (
    AUTH_DATABASE,
    DATABASE,
    USER,
    Kind,
    Sizes,
    database_server,
    server_volumes,
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
    """A single PostgreSQL server on a volume of its own, with two databases for MLflow."""

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
        HeldData(storage="storage", image="image", versions=VERSIONS, former_image="former_image"),
    )

    def __init__(
        self,
        name: str,
        args: PostgresArgs = {},  # noqa: B006 (never changed)
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        known_keys(name, args, PostgresArgs)
        sized = sizes(name, args)
        rotation = rotations(f"{name}.rotation", args.get("rotation", 0))
        super().__init__("Postgres", name, args, opts)
        child = pulumi.ResourceOptions(parent=self)
        copied = args.get("replication", False)
        kind = _kind(args.get("former_image"), sized, copied=copied)
        server = database_server(name, args, kind, child, rotation)
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
    """Return the pod of the server, for an image that works as the official one."""
    container = k8s.core.v1.ContainerArgs(
        name="postgres",
        image=image,
        args=["postgres", *(part for one in (*_of_size(sized), *settings) for part in ("-c", one))],
        env=[
            secret_env("POSTGRES_PASSWORD", secret, "POSTGRES_PASSWORD"),
            secret_env("APPLICATION_PASSWORD", secret, "APPLICATION_PASSWORD"),
            k8s.core.v1.EnvVarArgs(name="APPLICATION_USER", value=USER),
            k8s.core.v1.EnvVarArgs(name="APPLICATION_DATABASE", value=DATABASE),
            k8s.core.v1.EnvVarArgs(name="AUTH_DATABASE", value=AUTH_DATABASE),
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
    mounts, volumes = server_volumes(first_start, folder=FOLDER, socket="/var/run/postgresql")
    return restricted_pod(
        container,
        user=POSTGRES_USER,
        first=[
            *(upgrade(former, image, FOLDER) if former else ()),
            volume_check(image, CHECK_VOLUME, FOLDER),
        ],
        # The image's stop signal (SIGINT) is PostgreSQL's fast shutdown, which writes a checkpoint.
        # Without the checkpoint, the next start begins with a recovery.
        grace_seconds=60,
        mounts=mounts,
        volumes=volumes,
    )


def _of_size(sized: Sizes) -> list[str]:
    """Return the server's settings that follow from its size."""
    connections = f"max_connections={sized.all_connections}"
    if sized.mebibytes is None:
        return [connections]
    # https://www.postgresql.org/docs/18/runtime-config-resource.html: a quarter of the memory is a
    # reasonable start. The kernel's cache of files is in the pod's memory too.
    cache, both = sized.mebibytes // 4, sized.mebibytes * 3 // 4
    return [connections, f"shared_buffers={cache}MB", f"effective_cache_size={both}MB"]


_QUERY = ["psql", "-h", "127.0.0.1", "-U", USER, "-d", DATABASE, "-qtAc", "SELECT 1"]


def _kind(former: pulumi.Input[str] | None, sized: Sizes, *, copied: bool) -> Kind:
    """Return the facts of PostgreSQL.

    Args:
        former: image of the former major version, whose data is moved.
        sized: how much the server may take.
        copied: whether there is a login that copies the server's data.
    """
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
    return replace(kind, minutes=MINUTES) if former else kind
