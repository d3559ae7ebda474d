"""Backend store: a single MySQL server with generated passwords."""

import re
from collections.abc import Sequence
from functools import partial
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from .._component import Component
from .._defaults import MYSQL_IMAGE
from .._kubernetes.arguments import known_keys, rotations
from .._kubernetes.data_server import volume_check
from .._kubernetes.pod_options import PodArgs
from .._kubernetes.pods import Credentials, exec_probe, resources, secret_env
from .._kubernetes.retention import RetentionArgs
from ..backend_stores._server import (
    AUTH_DATABASE,
    DATABASE,
    USER,
    Kind,
    Sizes,
    database_server,
    numbered,
    server_pod,
    sizes,
)
from ..held_data import HeldData, VersionRule

PORT = 3306
MYSQL_USER = 999
"""User id of the official image (docker-library/mysql)."""

# In GRANT, an underscore without a backslash stands for any letter.
_AUTH_DATABASES = AUTH_DATABASE.replace("_", "\\_")
FIRST_START = f"""\
CREATE DATABASE {AUTH_DATABASE};
GRANT ALL ON `{_AUTH_DATABASES}`.* TO '{{user}}'@'%';
"""
"""The image runs this script once, on an empty volume, after it made the first database and the
user."""

_ROOT_PASSWORD = "MYSQL_ROOT_PASSWORD"  # noqa: S105 (a name)
_PASSWORD = "MYSQL_PASSWORD"  # noqa: S105 (a name)

FOLDER = "/var/lib/mysql"
"""Where the volume is mounted."""
DATA_FOLDER = f"{FOLDER}/data"
CHECK_VOLUME = """\
# MySQL writes its version here when it makes or upgrades its data (8.3 and newer do).
history=$1/data/mysql_upgrade_history
if [ ! -s "$history" ]; then
  exit
fi
program=$(mysqld --version)
held=$(sed -n 's/.*"version" *: *"\\([0-9]*\\.[0-9]*\\).*/\\1/p' "$history")
has=$(echo "$program" | sed 's/.*Ver \\([0-9]*\\.[0-9]*\\).*/\\1/')
case $program in *MariaDB*) has="$has of MariaDB"; older=1 ;; *) older= ;; esac
if [ "$older" ] || [ "${has%.*}" -lt "${held%.*}" ] ||
  { [ "${has%.*}" -eq "${held%.*}" ] && [ "${has#*.}" -lt "${held#*.}" ]; }; then
  echo "error: the volume has data of MySQL $held, and this image is $has: take an image of MySQL" \
    "$held or newer; see docs/moving-data.md" >&2
  exit 1
fi
"""
"""Fails where the image is older than the data. MySQL refuses that too, in a line amid its log."""
LOGIN_FOLDER = "/login"
"""Where a file in memory has the statements that each start of a server runs after a rotation."""
_LOGIN_FILE = f"{LOGIN_FOLDER}/start.sql"
WRITE_LOGIN = r"""set -eu
umask 077
text() {
  printf "'%s'" "$(printf %s "$1" | sed "s/[\\\\']/\\\\&/g")"
}
: > "$2"
# The first start makes the login by itself, and until then it needs root without a password.
if [ ! -d "$1/data/mysql" ]; then
  exit
fi
login=$(text "$MYSQL_USER")@"'%'" password=$(text "$MYSQL_PASSWORD")
exec > "$2"
printf 'CREATE USER IF NOT EXISTS %s IDENTIFIED BY %s;\n' "$login" "$password"
printf 'ALTER USER %s IDENTIFIED BY %s;\n' "$login" "$password"
shift 2
for database; do
  printf 'GRANT ALL ON `%s`.* TO %s;\n' "$database" "$login"
done
printf 'ALTER USER IF EXISTS %s IDENTIFIED BY %s;\n' "'root'@'localhost'" \
  "$(text "$MYSQL_ROOT_PASSWORD")"
"""
"""Writes the statements that put the passwords of a rotation into force. Each start runs them, so
that a volume that is older than the rotation gets the new login as well."""
VERSIONS = VersionRule(
    re.compile(r"\D*(\d+)\.(\d+)"),
    lambda held, new: held <= new and new[0] <= held[0] + 1,
    "MySQL {0}.{1} or newer, one major more at most, for its data is on the volume",
)
"""MySQL downgrades within a series alone, and upgrades by one major version at most
(https://dev.mysql.com/doc/refman/9.7/en/downgrading.html, .../upgrade-paths.html)."""


class MysqlArgs(TypedDict):
    """Inputs of :class:`Mysql`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    image: NotRequired[pulumi.Input[str]]
    """Image that works as the official one, of version 9.7. Defaults to the release that is
    tested."""
    storage: NotRequired[pulumi.Input[str]]
    """Size of the data volume, as a Kubernetes quantity. Defaults to ``8Gi``."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of the data volume. Defaults to the cluster's default class."""
    memory: NotRequired[str | None]
    """Memory of the server, as a Kubernetes quantity. Half of it becomes InnoDB's buffer
    pool. Defaults to ``1Gi``, with MySQL's own size of the
    pool."""
    cpus: NotRequired[int]
    """How many processors the server may use. Defaults to 4."""
    connections: NotRequired[int | None]
    """How many connections MLflow may hold at once; the server accepts 10 more. Defaults to 190."""
    rotation: NotRequired[int]
    """How many times the passwords were rotated. A higher number restarts the server, which then
    has a new login; the tracking server's input ``rotation`` with the same number ends the former
    one. Defaults to 0."""
    retention: NotRequired[RetentionArgs]
    """What becomes of the volumes and the generated passwords: ``StackNamespace.retention``.
    Defaults to: the volumes stay until their namespace is deleted, and Pulumi may delete the
    passwords."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. Defaults to nothing."""


class Mysql(Component):
    """A single MySQL server on a volume of its own, with two databases for MLflow."""

    host: pulumi.Output[str]
    """DNS name of the service, valid inside the cluster."""
    credentials: Credentials
    """The Secret with keys ``MLFLOW_BACKEND_STORE_URI`` and ``MLFLOW_AUTH_DATABASE_URI``. Known
    when the server takes queries."""
    connections: int
    """How many connections MLflow may hold at once."""
    client_image: pulumi.Input[str]
    """Image with the database's own programs: the server's."""
    rotated: Credentials | None
    """The Secret by which former logins are ended; None without a rotation."""

    rotates = (("database", "password"),)
    holds = (HeldData(storage="storage", image="image", versions=VERSIONS),)

    def __init__(
        self,
        name: str,
        args: MysqlArgs = {},  # noqa: B006 (never changed)
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        known_keys(name, args, MysqlArgs)
        sized = sizes(name, args)
        rotation = rotations(f"{name}.rotation", args.get("rotation", 0))
        super().__init__("Mysql", name, args, opts)
        child = pulumi.ResourceOptions(parent=self)
        server = database_server(name, args, _kind(sized, rotation), child, rotation)
        self.host, self.credentials = server.host, server.credentials
        self.connections = sized.connections
        self.client_image = args.get("image", MYSQL_IMAGE)
        self.rotated = server.rotated
        self.register_outputs(
            {
                "host": self.host,
                "credentials": self.credentials,
                "connections": self.connections,
                "client_image": self.client_image,
                "rotated": self.rotated,
            }
        )


def _pod(
    image: pulumi.Input[str],
    secret: pulumi.Input[str],
    first_start: pulumi.Input[str],
    *,
    sized: Sizes,
    rotation: int,
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of the server, for an image that works as the official one."""
    login = [
        secret_env(key, secret, numbered(key, rotation)) for key in (_ROOT_PASSWORD, _PASSWORD)
    ]
    user = k8s.core.v1.EnvVarArgs(name="MYSQL_USER", value=numbered(USER, rotation))
    container = k8s.core.v1.ContainerArgs(
        name="mysql",
        image=image,
        args=[
            "mysqld",
            # A folder below the volume's root: the first start refuses a folder with a lost+found.
            f"--datadir={DATA_FOLDER}",
            f"--max-connections={sized.all_connections}",
            # Half of the memory: beside the pool, each connection has buffers of its own.
            *(
                [f"--innodb-buffer-pool-size={sized.mebibytes // 2}M"]
                if sized.mebibytes is not None
                else []
            ),
            "--character-set-server=utf8mb4",
            # With MySQL's default, `lr` and `LR` are the same name, and a run cannot have both.
            "--collation-server=utf8mb4_0900_bin",
            # MLflow's migration makes a trigger, which MySQL leaves to root where there is a binary
            # log (mlflow/mlflow#23721). Nothing reads that log here, and it would fill the volume.
            "--log-bin-trust-function-creators=1",
            "--skip-log-bin",
            # The performance schema takes 250 MB, measured at rest, and nothing reads it. The
            # default buffer takes 50 MB more, for larger transactions than MLflow's.
            "--performance-schema=OFF",
            "--innodb-log-buffer-size=16M",
            "--mysqlx=OFF",
            # The network policy lets MySQL reach no DNS server.
            "--skip-name-resolve",
            *([f"--init-file={_LOGIN_FILE}"] if rotation else []),
        ],
        env=[
            *login,
            # Root can log in on the pod's socket alone.
            k8s.core.v1.EnvVarArgs(name="MYSQL_ROOT_HOST", value="localhost"),
            user,
            k8s.core.v1.EnvVarArgs(name="MYSQL_DATABASE", value=DATABASE),
        ],
        ports=[k8s.core.v1.ContainerPortArgs(name="mysql", container_port=PORT)],
        # During the first start, the server listens on its socket alone. So a probe over TCP does
        # not succeed too early.
        startup_probe=exec_probe(_QUERY, period=1, failures=180),
        # Ready means: the server takes the queries of MLflow's user. Alive means: a server answers,
        # even with an error. So a server whose connections are all in use is not killed.
        readiness_probe=exec_probe(_QUERY, period=10, failures=2),
        liveness_probe=exec_probe(_PING, period=30, failures=4),
        resources=sized.resources("512Mi"),
    )
    mount = k8s.core.v1.VolumeMountArgs(name="login", mount_path=LOGIN_FOLDER)
    in_memory = k8s.core.v1.EmptyDirVolumeSourceArgs(medium="Memory", size_limit="1Mi")
    volume = k8s.core.v1.VolumeArgs(name="login", empty_dir=in_memory)
    return server_pod(
        container,
        first_start,
        user=MYSQL_USER,
        folder=FOLDER,
        socket="/var/run/mysqld",
        first=[
            volume_check(image, CHECK_VOLUME, FOLDER),
            *([_write_login(image, [*login, user])] if rotation else []),
        ],
        mounts=[mount] if rotation else [],
        volumes=[volume] if rotation else [],
    )


def _write_login(
    image: pulumi.Input[str], environment: Sequence[k8s.core.v1.EnvVarArgs]
) -> k8s.core.v1.ContainerArgs:
    """Return the init container that writes the statements of ``WRITE_LOGIN``.

    The image's first start runs the server several times, each time with the server's own
    arguments. So the file is always there, and has no statement at that start.
    """
    return k8s.core.v1.ContainerArgs(
        name="login",
        image=image,
        command=["sh", "-c", WRITE_LOGIN, "sh", FOLDER, _LOGIN_FILE, DATABASE, _AUTH_DATABASES],
        env=environment,
        resources=resources("100m", "64Mi", most_cpu="1"),
        termination_message_policy="FallbackToLogsOnError",
    )


def _as_application(program: str, rest: str) -> list[str]:
    """Return the command of a client that logs in as MLflow's user, over TCP.

    The client reads the password from MYSQL_PWD, because others could read an argument. The
    container must not have that variable: in its first start, the image would use it for root.
    """
    login = '--host=127.0.0.1 --user="$MYSQL_USER"'
    return ["sh", "-c", f'MYSQL_PWD="$MYSQL_PASSWORD" exec {program} {login} {rest}']


_QUERY = _as_application("mysql", '--execute="SELECT 1" "$MYSQL_DATABASE"')
_PING = _as_application("mysqladmin", "ping")


def _kind(sized: Sizes, rotation: int) -> Kind:
    """Return the facts of MySQL.

    Args:
        sized: how much the server may take.
        rotation: how many times the passwords were rotated.
    """
    return Kind(
        app="mysql",
        port=PORT,
        image=MYSQL_IMAGE,
        driver="mysql+pymysql",
        superuser="root",
        superuser_variable=_ROOT_PASSWORD,
        user_variable=_PASSWORD,
        first_start={"auth-database.sql": FIRST_START.format(user=numbered(USER, rotation))},
        pod=partial(_pod, sized=sized, rotation=rotation),
        new_logins_at_start=True,
        driver_options={"charset": "utf8mb4"},
    )
