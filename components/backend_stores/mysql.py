"""Backend store: a single MySQL server whose passwords never leave the stack in clear."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from .._kubernetes.arguments import known_keys
from .._kubernetes.data_server import DATA_VOLUME, data_server, volume_check
from .._kubernetes.labels import labels, metadata, selector
from .._kubernetes.network_policies import server_policies
from .._kubernetes.pods import Credentials, exec_probe, resources, restricted_pod, secret_env
from .._kubernetes.uris import fingerprint, service_host
from ..backend_stores._credentials import AUTH_DATABASE, DATABASE, database_credentials

PORT = 3306
USER = "mlflow"
MYSQL_USER = 999
"""User id of the official image (docker-library/mysql)."""

MAX_CONNECTIONS = 200

# An underscore alone would stand for any letter.
_AUTH_DATABASES = AUTH_DATABASE.replace("_", "\\_")
FIRST_START = f"""\
CREATE DATABASE {AUTH_DATABASE};
GRANT ALL ON `{_AUTH_DATABASES}`.* TO '{USER}'@'%';
"""
"""Run once by the image, on an empty volume, which makes the first database and the user itself."""

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
"""Fails where the image is older than the data. MySQL refuses that too, in the midst of its log."""


class MysqlArgs(TypedDict):
    """Inputs of :class:`Mysql`."""

    namespace: pulumi.Input[str]
    """Namespace that receives every object. Required because nothing belongs in ``default``."""
    image: pulumi.Input[str]
    """Image with the contract of the official one, 9.7. Required because versions are pinned in
    one place, by the caller."""
    storage: pulumi.Input[str]
    """Size of the data volume, as a Kubernetes quantity. Required because it is hard to change."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of the data volume. Defaults to the cluster's default class."""


class Mysql(pulumi.ComponentResource):
    """A single MySQL server on a volume of its own, with two databases for MLflow."""

    host: pulumi.Output[str]
    """DNS name of the service, valid inside the cluster."""
    credentials: Credentials
    """The Secret with keys ``MLFLOW_BACKEND_STORE_URI`` and ``MLFLOW_AUTH_DATABASE_URI``; known
    once the server takes queries."""
    connections: int = MAX_CONNECTIONS - 10
    """How many connections MLflow may hold at once; the rest is left for the probes, the
    migration, and a person. MySQL keeps one more for root."""

    def __init__(
        self, name: str, args: MysqlArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow-k8s:index:Mysql", name, {**args}, opts)
        known_keys(name, args, MysqlArgs)
        child = pulumi.ResourceOptions(parent=self)
        namespace = args["namespace"]
        common = labels(name, "mysql", "backend-store")

        password = random.RandomPassword(
            f"{name}-password", length=32, special=False, opts=child
        ).result
        root_password = random.RandomPassword(
            f"{name}-root-password", length=32, special=False, opts=child
        ).result

        server_secret = k8s.core.v1.Secret(
            f"{name}-server",
            metadata=metadata(f"{name}-server", namespace, common),
            string_data={"MYSQL_ROOT_PASSWORD": root_password, "MYSQL_PASSWORD": password},
            opts=child,
        )
        first_start = k8s.core.v1.ConfigMap(
            f"{name}-first-start",
            metadata=metadata(f"{name}-first-start", namespace, common),
            data={"auth-database.sql": FIRST_START},
            opts=child,
        )
        protected = server_policies(
            name,
            namespace=namespace,
            labels=common,
            applies_to=selector(name, "mysql"),
            port=PORT,
            opts=child,
        )
        server = data_server(
            name,
            app="mysql",
            namespace=namespace,
            labels=common,
            ports={"mysql": PORT},
            pod=_pod(args["image"], server_secret.metadata.name, first_start.metadata.name),
            restarts_with=fingerprint(root_password, password),
            storage=args["storage"],
            storage_class=args.get("storage_class"),
            opts=protected,
        )

        self.host = server.metadata.namespace.apply(lambda ns: service_host(name, ns))
        self.credentials = database_credentials(
            name,
            namespace=namespace,
            labels=common,
            driver="mysql+pymysql",
            user=USER,
            password=password,
            host=self.host,
            port=PORT,
            charset="utf8mb4",
            opts=child,
        )
        self.register_outputs({"host": self.host, "credentials": self.credentials})


def _pod(
    image: pulumi.Input[str], secret: pulumi.Input[str], first_start: pulumi.Input[str]
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of the server, on the contract of the official image."""
    container = k8s.core.v1.ContainerArgs(
        name="mysql",
        image=image,
        args=[
            "mysqld",
            # A folder of its own: the first start refuses one that holds a lost+found.
            f"--datadir={DATA_FOLDER}",
            f"--max-connections={MAX_CONNECTIONS}",
            "--character-set-server=utf8mb4",
            # By default `lr` and `LR` are one name, so that MLflow could not log both.
            "--collation-server=utf8mb4_0900_bin",
            # MLflow's migration makes a trigger, which MySQL leaves to root where there is a binary
            # log (mlflow/mlflow#23721). Nothing reads that log here, and it would fill the volume.
            "--log-bin-trust-function-creators=1",
            "--skip-log-bin",
            # 250 MB, measured at rest, to watch a server that nobody watches; and 50 MB of a buffer
            # for larger transactions than MLflow makes.
            "--performance-schema=OFF",
            "--innodb-log-buffer-size=16M",
            "--mysqlx=OFF",
            # It reaches no DNS server to ask for its clients' names, nor has a use for them.
            "--skip-name-resolve",
        ],
        env=[
            secret_env("MYSQL_ROOT_PASSWORD", secret, "MYSQL_ROOT_PASSWORD"),
            secret_env("MYSQL_PASSWORD", secret, "MYSQL_PASSWORD"),
            # Root's password opens the pod's socket, and nothing from outside.
            k8s.core.v1.EnvVarArgs(name="MYSQL_ROOT_HOST", value="localhost"),
            k8s.core.v1.EnvVarArgs(name="MYSQL_USER", value=USER),
            k8s.core.v1.EnvVarArgs(name="MYSQL_DATABASE", value=DATABASE),
        ],
        ports=[k8s.core.v1.ContainerPortArgs(name="mysql", container_port=PORT)],
        # Until its first start is over the server listens on its socket alone, so asking over TCP
        # cannot succeed early.
        startup_probe=exec_probe(_QUERY, period=1, failures=180),
        # Ready means: takes this user's queries. Alive means only: there is a server, whatever it
        # answers, so that one out of connections is not killed with everybody's work.
        readiness_probe=exec_probe(_QUERY, period=5, failures=2),
        liveness_probe=exec_probe(_PING, period=10, failures=12),
        resources=resources("100m", "512Mi", most_cpu="4", most_memory="1Gi"),
    )
    return restricted_pod(
        container,
        user=MYSQL_USER,
        first=volume_check(image, CHECK_VOLUME, FOLDER),
        # What is not written when it ends is recovered by the next start.
        grace_seconds=60,
        mounts=[
            k8s.core.v1.VolumeMountArgs(name=DATA_VOLUME, mount_path=FOLDER),
            k8s.core.v1.VolumeMountArgs(name="socket", mount_path="/var/run/mysqld"),
            k8s.core.v1.VolumeMountArgs(
                name="first-start", mount_path="/docker-entrypoint-initdb.d"
            ),
        ],
        volumes=[
            k8s.core.v1.VolumeArgs(name="socket", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs()),
            k8s.core.v1.VolumeArgs(
                name="first-start",
                config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=first_start),
            ),
        ],
    )


def _as_application(program: str, rest: str) -> list[str]:
    """Return the command of a client that is MLflow's user, over TCP.

    It takes the password from an argument, which others could read, or from this variable; which
    is not the container's own, for the image's first start would take it for root's.
    """
    login = '--host=127.0.0.1 --user="$MYSQL_USER"'
    return ["sh", "-c", f'MYSQL_PWD="$MYSQL_PASSWORD" exec {program} {login} {rest}']


_QUERY = _as_application("mysql", '--execute="SELECT 1" "$MYSQL_DATABASE"')
_PING = _as_application("mysqladmin", "ping")
