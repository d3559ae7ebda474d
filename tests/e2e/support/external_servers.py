"""Servers outside the cluster: the programs of its images, run on this machine beside the lab.

They listen on the machine's end of the lab's network alone.
"""

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.lab_cluster import LabCluster
from harness.programs import ENDS_WITH_US
from harness.waiting import wait_until
from lab import node, paths

ADDRESS = paths.HOST_ADDRESS
BUCKET = "outside"
# Processes of its own, with the image's files as their root. The shell stays their first one, and
# takes all of them along when it is killed; a program that changed its user would not be told.
_APART = (*ENDS_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL")
_ENTER = """
mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" || exit 1
user=$1; shift
chroot --userspec="$user" "$0" "$@"
exit
"""


@dataclass(frozen=True)
class Outside:
    """A PostgreSQL with MLflow's database and an old one, a MySQL with two empty ones, and a MinIO
    with a bucket, all on TLS."""

    database_port: int
    mysql_port: int
    bucket_port: int
    silent_port: int
    """Takes connections, and never says a word."""
    password: str
    """Of `mlflow`, who owns the database, and of `reader`, who may only log in."""
    key: str
    """The secret of the access key `mlflow`, which may do anything."""
    ca: str
    """Of the bucket's certificate."""
    database_ca: str
    """Of the certificates of both databases."""
    objects: Path
    """Where the objects of the bucket are."""

    def uri(
        self, user: str = "mlflow", *, password: str = "", port: int = 0, name: str = "mlflow"
    ) -> str:
        """Return the address of the database."""
        login = f"{user}:{quote(password or self.password, safe='')}"
        return f"postgresql+psycopg2://{login}@{ADDRESS}:{port or self.database_port}/{name}"

    def mysql_uri(self, host: str = ADDRESS, *, name: str = "mlflow") -> str:
        """Return the address of an empty database."""
        login = f"mlflow:{quote(self.password, safe='')}"
        return f"mysql+pymysql://{login}@{host}:{self.mysql_port}/{name}"

    def endpoint(self, port: int = 0) -> str:
        """Return the address of the store."""
        return f"https://{ADDRESS}:{port or self.bucket_port}"


@contextmanager
def running(cluster: Cluster, folder: Path) -> Iterator[Outside]:
    """Have all servers running while the block runs, or skip the test that asks for them."""
    if not isinstance(cluster, LabCluster):
        pytest.skip("the cluster's pods may not reach this machine")
    settings = stacks.settings("minikube")
    for name in ("postgres", "mysql"):
        images.provide(cluster, stacks.settings("minikube", backendStore=name))
    # What a URL and JSON write in another way is looked for in all of them.
    password, key = (f'{secrets.token_hex(16)}/@:%+"' for _ in range(2))
    with ExitStack() as stack:
        postgres = stack.enter_context(image_files(settings.postgres_image, folder / "postgres"))
        (postgres / "docker-entrypoint-initdb.d" / "users.sql").write_text(
            f"create role mlflow login password '{password}';\n"
            f"create role reader login password '{password}';\n"
            "create database mlflow owner mlflow;\n"
            "create database users owner mlflow;\n"
            "create database old owner mlflow template template0 locale 'C' encoding SQL_ASCII;\n"
        )
        minio = stack.enter_context(image_files(settings.images["minioImage"], folder / "minio"))
        ca = certificate(minio / "certs", f"IP:{ADDRESS}")
        mysql = stack.enter_context(image_files(settings.mysql_image, folder / "mysql"))
        database_ca = certificate(postgres / "tls", f"IP:{ADDRESS}", owner=999)
        database_ca += certificate(mysql / "tls", f"IP:{ADDRESS}", owner=999)
        (mysql / "docker-entrypoint-initdb.d" / "users.sql").write_text(
            "create database mlflow character set utf8mb4;\n"
            "create database users character set utf8mb4;\n"
            f"create user mlflow identified by '{password}' require ssl;\n"
            "grant all on mlflow.* to mlflow;\n"
            "grant all on users.* to mlflow;\n"
        )
        objects = minio / "data" / BUCKET
        for made in (minio / "dev", minio / "proc", objects):
            made.mkdir(parents=True, exist_ok=True)
        os.chown(objects.parent, 1000, 1000)
        os.chown(objects, 1000, 1000)

        silent = stack.enter_context(socket.create_server((ADDRESS, 0)))
        ports = (free_port(), free_port(), free_port(), silent.getsockname()[1])
        outside = Outside(*ports, password, key, ca, database_ca, objects)
        database = [
            *("docker-entrypoint.sh", "postgres", "-p", str(outside.database_port)),
            *("-c", f"listen_addresses={ADDRESS}", "-c", "ssl=on"),
            *("-c", "ssl_cert_file=/tls/public.crt", "-c", "ssl_key_file=/tls/private.key"),
        ]
        variables = {"POSTGRES_PASSWORD": password, "PGPORT": str(outside.database_port)}
        stack.enter_context(program(postgres, 999, database, variables))
        store = [
            *("minio", "server", "/data", "--certs-dir", "/certs"),
            *("--address", f"{ADDRESS}:{outside.bucket_port}"),
            *("--console-address", f"{ADDRESS}:{free_port()}"),
        ]
        variables = {"MINIO_ROOT_USER": "mlflow", "MINIO_ROOT_PASSWORD": key, "HOME": "/tmp"}  # noqa: S108
        stack.enter_context(program(minio, 1000, store, variables))
        database = [
            *("docker-entrypoint.sh", "mysqld", f"--port={outside.mysql_port}"),
            *(f"--bind-address={ADDRESS}", "--skip-name-resolve", "--mysqlx=OFF"),
            *("--ssl-cert=/tls/public.crt", "--ssl-key=/tls/private.key", "--skip-log-bin"),
        ]
        variables = {"MYSQL_ROOT_PASSWORD": password}
        stack.enter_context(program(mysql, 999, database, variables))
        for port in (outside.database_port, outside.mysql_port, outside.bucket_port):
            wait_until(partial(listens, port), 60, f"port {port} is listened on")
        yield outside


@contextmanager
def image_files(image: str, root: Path) -> Iterator[Path]:
    """Have an image's files in a folder, to write in as well."""
    root.mkdir(parents=True)
    repository = image if "/" in image else f"library/{image}"
    node.ctr("images", "mount", "--rw", f"docker.io/{repository}", root)
    try:
        yield root
    finally:
        node.ctr("images", "unmount", "--rm", root)


@contextmanager
def program(
    root: Path, user: int, command: list[str], variables: Mapping[str, str]
) -> Iterator[None]:
    """Run a program of an image, as the image would, until the block ends."""
    search = "/usr/local/bin:/usr/lib/postgresql/18/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    official = {"LANG": "en_US.utf8", "PGDATA": "/var/lib/postgresql/18/docker"}
    environment = {"PATH": search, **official, **variables}
    with (root.parent / f"{root.name}.log").open("w") as log:
        process = subprocess.Popen(
            apart(root, user, command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def apart(root: Path, user: int, command: list[str]) -> list[str]:
    """Return the command of processes that have an image's files as their root."""
    return [*_APART, "sh", "-c", _ENTER, str(root), f"{user}:{user}", *command]


def certificate(folder: Path, names: str, owner: int = 0) -> str:
    """Make a certificate that nobody else signed, in files that MinIO looks for; return it.

    The key is readable by ``owner`` alone, a user id, or by everybody where that is root.
    """
    folder.mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=outside"),
            *("-addext", f"subjectAltName={names}"),
            *("-keyout", str(folder / "private.key"), "-out", str(folder / "public.crt")),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    os.chown(folder / "private.key", owner, owner)
    # PostgreSQL refuses a key that others can read.
    (folder / "private.key").chmod(0o600 if owner else 0o644)
    return (folder / "public.crt").read_text()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        port: int = taken.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.create_connection((ADDRESS, port), timeout=1):
        return True
