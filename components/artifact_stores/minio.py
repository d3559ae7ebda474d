"""Artifact store: MinIO, one server or several, its bucket, and a key for that bucket alone."""

import re
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from .._component import Component
from .._defaults import ARTIFACT_STORAGE, MINIO_IMAGE, NAMESPACE, SERVER_IMAGE
from .._kubernetes.arguments import known_keys, rotations
from .._kubernetes.data_server import DATA_VOLUME, data_server
from .._kubernetes.labels import labels, metadata, selector
from .._kubernetes.network_policies import (
    DNS,
    Path,
    after,
    client_labels,
    namespaces,
    server_policies,
)
from .._kubernetes.network_policies import pods as pods_with
from .._kubernetes.pod_options import PodArgs, PodOptions, pod_options
from .._kubernetes.pods import (
    Credentials,
    http_probe,
    once_done,
    python_job,
    resources,
    restricted_pod,
    secret_source,
)
from .._kubernetes.publishing import IngressArgs, check_published, from_ingress, public_url, publish
from .._kubernetes.retention import RetentionArgs, generations
from .._kubernetes.uris import fingerprint, service_host
from ..held_data import HeldData, VersionRule

API_PORT = 9000
CONSOLE_PORT = 9001
HOST = "mlflow-minio.local"
CONSOLE_HOST = "mlflow-minio-console.local"
BUCKET = "mlflow"
ROOT_USER = "root-of-minio"
SERVER_KEY = "mlflow-server"
"""Access key of the tracking server: a name, not a secret; its secret key is generated. Each
rotation makes another one, with a number behind the name."""
S3_CLIENT = {
    # By default, boto3 may put the bucket into the host name, which DNS does not know.
    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
    "AWS_DEFAULT_REGION": "us-east-1",
}
MINIO_USER = 1000
"""User id in images/minio/Dockerfile. The volume's group has the same id, for any image."""
NUMBERS = (1, *range(4, 17))
"""How many servers there may be. MinIO divides more than 16 volumes into sets (its `setSizes`). Two
servers take no writes while one is away. With three servers, an object that was written while one
was away cannot be read while another one is away, until MinIO has made the missing part."""
NUMBERS_IN_WORDS = f"1, or {NUMBERS[1]} to {NUMBERS[-1]}"
JOIN_SECONDS = 20
"""Seconds from the start of one of several servers to its first call. MinIO's readiness probe
succeeds at once (`ReadinessCheckHandler`). Every 15 s, a server looks for drives that it lacks
(`defaultMonitorConnectEndpointInterval`). Until then it answers "not found" for objects that it
lacks itself: for 14.8 s after 2 of 8 restarts (2026-11-28)."""
VERSIONS = VersionRule(
    re.compile(r".*?(20\d\d)[-.]?(\d\d?)[-.]?(\d\d?)|\D*(\d+)\.?(\d+)?\.?(\d+)?"),
    lambda held, new: held <= new,
    "a release of {all} or newer, whose data is on the volume",
    makes=("minio", "silo"),
)
"""MinIO's versions are dates. Silo is a fork of MinIO that goes on, with the same volumes
(https://github.com/pgsty/silo)."""


class MinioArgs(TypedDict):
    """Inputs of :class:`Minio`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    image: NotRequired[pulumi.Input[str]]
    """Image of MinIO. Defaults to the one that images/minio builds."""
    server_image: NotRequired[pulumi.Input[str]]
    """Image of the tracking server, which makes the bucket and the key. Defaults to the one that
    images/mlflow builds."""
    replicas: NotRequired[int]
    """Number of servers, each on a volume of its own: 1, or 4 to 16. Several servers divide each
    object, with so much more that reads and writes go on without one of them. MinIO cannot change
    the number once there is data. Defaults to 1."""
    storage: NotRequired[pulumi.Input[str]]
    """Size of each data volume, as a Kubernetes quantity. Defaults to ``20Gi``."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of the data volume. Defaults to the cluster's default class."""
    retention: NotRequired[RetentionArgs]
    """What becomes of the volumes and the generated passwords: ``StackNamespace.retention``.
    Defaults to: the volumes stay until their namespace is deleted, and Pulumi may delete the
    passwords."""
    host: NotRequired[str]
    """Host name of the S3 endpoint on the ingress. Defaults to ``mlflow-minio.local``."""
    console_host: NotRequired[str]
    """Host name of the web console on the ingress. Defaults to ``mlflow-minio-console.local``."""
    ingress: NotRequired[IngressArgs]
    """How host names are published. Defaults to the cluster's default ingress class."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods reach the S3 endpoint without the tracking server. Defaults to none."""
    rotation: NotRequired[int]
    """How many times the key of the bucket was rotated. A higher number makes a new key; the
    tracking server's input ``rotation`` with the same number removes the former one. Defaults
    to 0."""
    root_rotation: NotRequired[int]
    """How many times the root password was rotated. A higher number restarts MinIO. Defaults
    to 0."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. Defaults to nothing."""


class Minio(Component):
    """MinIO, one server or several, each on a volume of its own, with one bucket for MLflow."""

    artifact_root: pulumi.Output[str]
    """Where the tracking server keeps artifacts: ``s3://<bucket>``."""
    endpoint_url: pulumi.Output[str]
    """URL of the S3 endpoint outside the cluster."""
    credentials: Credentials
    """The Secret with the artifacts' destination, the S3 endpoint, and a key for the bucket alone.
    Known when the bucket and the key exist."""
    client_env: pulumi.Output[dict[str, str]]
    """Environment of a client outside the cluster that reaches the bucket itself: secret."""
    rotated: Credentials | None
    """The Secret by which former keys are removed; None without a rotation of the key."""

    rotates = (("store", "server-key"), ("storeRoot", "root-password"))
    holds = (
        HeldData(
            storage="storage",
            count="replicas",
            fixed="MinIO reads the volumes of as many servers as wrote them",
            image="image",
            versions=VERSIONS,
        ),
    )

    def __init__(
        self,
        name: str,
        args: MinioArgs = {},  # noqa: B006 (never changed)
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        known_keys(name, args, MinioArgs)
        number = _replicas(name, args)
        check_published(
            name,
            args.get("ingress", {}),
            host=args.get("host", HOST),
            console_host=args.get("console_host", CONSOLE_HOST),
        )
        super().__init__("Minio", name, args, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = args.get("namespace", NAMESPACE)
        common = labels(name, "minio", "artifact-store")
        pods = pod_options(name, args.get("pods"), namespace=namespace, labels=common, opts=child)

        root_password, access_key, secret_key = _keys(name, args, child)
        root = _root(name, namespace, root_password, child)
        server = _server(
            name,
            args,
            pods,
            number=number,
            root_secret=root["secret"],
            restarts_with=root["fingerprint"],
            opts=child,
        )

        host = server.metadata.namespace.apply(lambda ns: service_host(name, ns))
        self.artifact_root = pulumi.Output.from_input(f"s3://{BUCKET}")
        secret = k8s.core.v1.Secret(
            f"{name}-credentials",
            metadata=metadata(f"{name}-credentials", namespace, common),
            string_data={
                "MLFLOW_ARTIFACTS_DESTINATION": self.artifact_root,
                **_client_env(
                    pulumi.Output.concat("http://", host, f":{API_PORT}"), access_key, secret_key
                ),
            },
            opts=child,
        )
        credentials: Credentials = {
            "secret": secret.metadata.name,
            "fingerprint": fingerprint(secret_key, host),
            "client_labels": client_labels(name),
        }
        bucket = python_job(
            f"{name}-bucket",
            module="mlflow_kubernetes.provision_bucket",
            namespace=namespace,
            labels=labels(f"{name}-bucket", "mlflow", "artifact-store"),
            image=args.get("server_image", SERVER_IMAGE),
            pods=pods,
            backends=[root, credentials],
            seconds=120,
            opts=after(child, server),
        )
        self.endpoint_url = _publish(name, args, server.metadata.name, after(child, server))

        # A pod that reads the Secret then comes after the bucket.
        self.credentials = {**credentials, "secret": once_done(bucket, secret.metadata.name)}
        self.client_env = pulumi.Output.all(
            **_client_env(self.endpoint_url, access_key, secret_key)
        )
        self.rotated = root if args.get("rotation") else None
        self.register_outputs(
            {
                "artifact_root": self.artifact_root,
                "endpoint_url": self.endpoint_url,
                "credentials": self.credentials,
                "client_env": self.client_env,
                "rotated": self.rotated,
            }
        )


def _keys(
    name: str, args: MinioArgs, opts: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str], str, pulumi.Output[str]]:
    """Return the root password, and the access key of the bucket with its secret key.

    Raises:
        pulumi.RunError: if the number of rotations is none.
    """
    retention = args.get("retention", {})
    of_root = rotations(f"{name}.root_rotation", args.get("root_rotation", 0))
    of_key = rotations(f"{name}.rotation", args.get("rotation", 0))
    root_password, *_ = generations(f"{name}-root-password", 40, retention, opts, of_root)
    secret_key, *_ = generations(f"{name}-server-key", 40, retention, opts, of_key)
    return root_password, f"{SERVER_KEY}-{of_key}" if of_key else SERVER_KEY, secret_key


def _root(
    name: str,
    namespace: pulumi.Input[str],
    password: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
) -> Credentials:
    """Make the Secret with the login of MinIO's root."""
    secret = k8s.core.v1.Secret(
        f"{name}-root",
        metadata=metadata(f"{name}-root", namespace, labels(name, "minio", "artifact-store")),
        string_data={"MINIO_ROOT_USER": ROOT_USER, "MINIO_ROOT_PASSWORD": password},
        opts=opts,
    )
    return {"secret": secret.metadata.name, "fingerprint": fingerprint(password)}


def _client_env(
    endpoint: pulumi.Input[str], access_key: str, secret_key: pulumi.Input[str]
) -> dict[str, pulumi.Input[str]]:
    """Return the environment of a client that reaches the bucket by this endpoint."""
    return {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        **S3_CLIENT,
    }


def _server(
    name: str,
    args: MinioArgs,
    pods: PodOptions,
    *,
    number: int,
    root_secret: pulumi.Input[str],
    restarts_with: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.StatefulSet:
    """Make the network policies of the servers, and then the servers."""
    namespace = args.get("namespace", NAMESPACE)
    common = labels(name, "minio", "artifact-store")
    ingress = args.get("ingress", {})
    several = number > 1
    each_other = [Path([pods_with(selector(name, "minio"))], tcp=[API_PORT])] if several else []
    protected = server_policies(
        name,
        namespace=namespace,
        labels=common,
        applies_to=selector(name, "minio"),
        port=API_PORT,
        ingress=[
            from_ingress(ingress, API_PORT, CONSOLE_PORT),
            Path(namespaces(args.get("client_namespaces", [])), tcp=[API_PORT]),
            *each_other,
        ],
        egress=[*each_other, DNS] if several else [],
        opts=opts,
    )
    console_url = public_url(ingress, args.get("console_host", CONSOLE_HOST))
    return data_server(
        name,
        app="minio",
        namespace=namespace,
        labels=common,
        ports={"s3": API_PORT, "console": CONSOLE_PORT},
        pod=_pod(
            args.get("image", MINIO_IMAGE),
            _volumes(name, namespace, number),
            root_secret,
            console_url,
            joins=several,
        ),
        pods=pods,
        restarts_with=restarts_with,
        storage=args.get("storage", ARTIFACT_STORAGE),
        storage_class=args.get("storage_class"),
        retention=args.get("retention", {}),
        replicas=number,
        same_data=several,
        opts=protected,
    )


def _publish(
    name: str, args: MinioArgs, service: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Publish the S3 endpoint and the console; return the endpoint's URL."""
    host, ingress = args.get("host", HOST), args.get("ingress", {})
    for suffix, public_host, port in (
        ("s3", host, API_PORT),
        ("console", args.get("console_host", CONSOLE_HOST), CONSOLE_PORT),
    ):
        publish(
            f"{name}-{suffix}",
            ingress,
            namespace=args.get("namespace", NAMESPACE),
            labels=labels(name, "minio", "artifact-store"),
            host=public_host,
            service=service,
            port=port,
            opts=opts,
        )
    return pulumi.Output.from_input(public_url(ingress, host))


def _replicas(name: str, args: MinioArgs) -> int:
    """Return the number of servers.

    Raises:
        pulumi.RunError: if it is not accepted.
    """
    number = args.get("replicas", 1)
    if number not in NUMBERS:
        raise pulumi.RunError(f"{name}.replicas: {number}; accepted: {NUMBERS_IN_WORDS}")
    # The engine gives a program of another language its whole numbers as floats.
    return int(number)


def _volumes(name: str, namespace: pulumi.Input[str], number: int) -> pulumi.Input[str]:
    """Return the argument by which MinIO finds all volumes."""
    if number == 1:
        return "/data"
    host = pulumi.Output.from_input(namespace).apply(lambda ns: service_host(f"{name}-pods", ns))
    return pulumi.Output.concat(f"http://{name}-{{0...{number - 1}}}.", host, f":{API_PORT}/data")


def _pod(
    image: pulumi.Input[str],
    volumes: pulumi.Input[str],
    root_secret: pulumi.Input[str],
    console_url: str,
    *,
    joins: bool,
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of a server, for an image that works as MinIO's own.

    Args:
        image: of MinIO.
        volumes: the argument by which MinIO finds all volumes.
        root_secret: name of the Secret with the login of MinIO's root.
        console_url: URL of the web console outside the cluster.
        joins: whether the server joins others.
    """
    container = k8s.core.v1.ContainerArgs(
        name="minio",
        image=image,
        args=[
            "server",
            volumes,
            "--address",
            f":{API_PORT}",
            "--console-address",
            f":{CONSOLE_PORT}",
        ],
        env=[
            # MinIO redirects a browser that opens the S3 endpoint to this URL.
            k8s.core.v1.EnvVarArgs(name="MINIO_BROWSER_REDIRECT_URL", value=console_url),
            # By default, MinIO looks for newer releases on the internet.
            k8s.core.v1.EnvVarArgs(name="MINIO_UPDATE", value="off"),
            k8s.core.v1.EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108 (in the pod)
        ],
        env_from=[secret_source(root_secret)],
        ports=[
            k8s.core.v1.ContainerPortArgs(name="s3", container_port=API_PORT),
            k8s.core.v1.ContainerPortArgs(name="console", container_port=CONSOLE_PORT),
        ],
        startup_probe=http_probe("/minio/health/ready", "s3", period=1, failures=120),
        readiness_probe=http_probe(
            "/minio/health/ready", "s3", period=5, failures=2, delay=JOIN_SECONDS if joins else None
        ),
        liveness_probe=http_probe("/minio/health/live", "s3", period=10, failures=6),
        resources=resources("100m", "256Mi", most_cpu="4", most_memory="1Gi"),
    )
    return restricted_pod(
        container,
        user=MINIO_USER,
        mounts=[k8s.core.v1.VolumeMountArgs(name=DATA_VOLUME, mount_path="/data")],
    )
