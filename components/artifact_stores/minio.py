"""Artifact store: a single MinIO server, its bucket, and a key that reaches that bucket only."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from .._kubernetes.arguments import known_keys
from .._kubernetes.data_server import DATA_VOLUME, data_server
from .._kubernetes.labels import labels, metadata, selector
from .._kubernetes.network_policies import Path, client_labels, namespaces, server_policies
from .._kubernetes.pods import (
    Credentials,
    http_probe,
    once_done,
    python_job,
    resources,
    restricted_pod,
    secrets_env,
)
from .._kubernetes.publishing import IngressArgs, from_ingress, public_url, publish
from .._kubernetes.uris import fingerprint, service_host

API_PORT = 9000
CONSOLE_PORT = 9001
BUCKET = "mlflow"
ROOT_USER = "root-of-minio"
SERVER_KEY = "mlflow-server"
"""Access key of the tracking server: a name, not a secret; its secret key is generated."""
S3_CLIENT = {
    # Without it boto3 may put the bucket in the host name, which no DNS here knows.
    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": SERVER_KEY,
}
MINIO_USER = 1000
"""User id in images/minio/Dockerfile; the volume is given to it, so other images work as well."""


class MinioArgs(TypedDict):
    """Inputs of :class:`Minio`."""

    namespace: pulumi.Input[str]
    """Namespace that receives every object. Required because nothing belongs in ``default``."""
    image: pulumi.Input[str]
    """Image of MinIO. Required because versions are pinned in one place, by the caller."""
    server_image: pulumi.Input[str]
    """Image of the tracking server, which makes the bucket and the key. Required likewise."""
    storage: pulumi.Input[str]
    """Size of the data volume, as a Kubernetes quantity. Required because it is hard to change."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of the data volume. Defaults to the cluster's default class."""
    host: str
    """Host name of the S3 endpoint on the ingress. Required because people and clients type it."""
    console_host: str
    """Host name of the web console on the ingress. Required because people type it."""
    ingress: NotRequired[IngressArgs]
    """How host names are published. Defaults to the cluster's default ingress class."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods reach the S3 endpoint by themselves. Defaults to none."""


class Minio(pulumi.ComponentResource):
    """A single MinIO server on a volume of its own, with one bucket for MLflow."""

    artifact_root: pulumi.Output[str]
    """Where the tracking server keeps artifacts: ``s3://<bucket>``."""
    endpoint_url: pulumi.Output[str]
    """URL of the S3 endpoint outside the cluster."""
    credentials: Credentials
    """The Secret with the artifacts' destination, the S3 endpoint, and a key that reaches the
    bucket only; known once the bucket and the key exist."""
    client_env: pulumi.Output[dict[str, str]]
    """What a client outside the cluster needs to reach the bucket itself: secret."""

    def __init__(
        self, name: str, args: MinioArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow-k8s:index:Minio", name, {**args}, opts)
        known_keys(name, args, MinioArgs)
        child = pulumi.ResourceOptions(parent=self)
        namespace = args["namespace"]
        common = labels(name, "minio", "artifact-store")
        ingress = args.get("ingress", {})
        console_url = public_url(ingress, args["console_host"])

        root_password = random.RandomPassword(
            f"{name}-root-password", length=40, special=False, opts=child
        ).result
        secret_key = random.RandomPassword(
            f"{name}-server-key", length=40, special=False, opts=child
        ).result

        root = k8s.core.v1.Secret(
            f"{name}-root",
            metadata=metadata(f"{name}-root", namespace, common),
            string_data={"MINIO_ROOT_USER": ROOT_USER, "MINIO_ROOT_PASSWORD": root_password},
            opts=child,
        )
        protected = server_policies(
            name,
            namespace=namespace,
            labels=common,
            applies_to=selector(name, "minio"),
            port=API_PORT,
            ingress=[
                from_ingress(ingress, API_PORT, CONSOLE_PORT),
                Path(namespaces(args.get("client_namespaces", [])), tcp=[API_PORT]),
            ],
            opts=child,
        )
        server = data_server(
            name,
            app="minio",
            namespace=namespace,
            labels=common,
            ports={"s3": API_PORT, "console": CONSOLE_PORT},
            pod=_pod(args["image"], root.metadata.name, console_url),
            restarts_with=fingerprint(root_password),
            storage=args["storage"],
            storage_class=args.get("storage_class"),
            opts=protected,
        )

        host = server.metadata.namespace.apply(lambda ns: service_host(name, ns))
        self.artifact_root = pulumi.Output.from_input(f"s3://{BUCKET}")
        credentials = k8s.core.v1.Secret(
            f"{name}-credentials",
            metadata=metadata(f"{name}-credentials", namespace, common),
            string_data={
                "MLFLOW_ARTIFACTS_DESTINATION": self.artifact_root,
                "MLFLOW_S3_ENDPOINT_URL": pulumi.Output.concat("http://", host, f":{API_PORT}"),
                "AWS_SECRET_ACCESS_KEY": secret_key,
                **S3_CLIENT,
            },
            opts=child,
        )
        published: Credentials = {
            "secret": credentials.metadata.name,
            "fingerprint": fingerprint(secret_key, host),
            "client_labels": client_labels(name),
        }
        bucket = python_job(
            f"{name}-bucket",
            module="mlflow_kubernetes.provision_bucket",
            namespace=namespace,
            labels=labels(f"{name}-bucket", "mlflow", "artifact-store"),
            image=args["server_image"],
            backends=[
                {"secret": root.metadata.name, "fingerprint": fingerprint(root_password)},
                published,
            ],
            seconds=120,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[server])),
        )

        for suffix, public_host, port in (
            ("s3", args["host"], API_PORT),
            ("console", args["console_host"], CONSOLE_PORT),
        ):
            publish(
                f"{name}-{suffix}",
                ingress,
                namespace=namespace,
                labels=common,
                host=public_host,
                service=server.metadata.name,
                port=port,
                opts=pulumi.ResourceOptions.merge(
                    child, pulumi.ResourceOptions(depends_on=[server])
                ),
            )

        self.endpoint_url = pulumi.Output.from_input(public_url(ingress, args["host"]))
        # Whoever reads the Secret comes after the bucket.
        self.credentials = {**published, "secret": once_done(bucket, credentials.metadata.name)}
        self.client_env = pulumi.Output.all(self.endpoint_url, secret_key).apply(
            lambda known: {
                "MLFLOW_S3_ENDPOINT_URL": known[0],
                "AWS_SECRET_ACCESS_KEY": known[1],
                **S3_CLIENT,
            }
        )
        self.register_outputs(
            {
                "artifact_root": self.artifact_root,
                "endpoint_url": self.endpoint_url,
                "credentials": self.credentials,
                "client_env": self.client_env,
            }
        )


def _pod(
    image: pulumi.Input[str], root_secret: pulumi.Input[str], console_url: str
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of the server, on the contract of MinIO's own image."""
    container = k8s.core.v1.ContainerArgs(
        name="minio",
        image=image,
        args=[
            "server",
            "/data",
            "--address",
            f":{API_PORT}",
            "--console-address",
            f":{CONSOLE_PORT}",
        ],
        env=[
            # A browser that opens the S3 endpoint is sent here.
            k8s.core.v1.EnvVarArgs(name="MINIO_BROWSER_REDIRECT_URL", value=console_url),
            # MinIO would look for a newer release of itself on the internet.
            k8s.core.v1.EnvVarArgs(name="MINIO_UPDATE", value="off"),
            k8s.core.v1.EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108 (in the pod)
        ],
        env_from=secrets_env(root_secret),
        ports=[
            k8s.core.v1.ContainerPortArgs(name="s3", container_port=API_PORT),
            k8s.core.v1.ContainerPortArgs(name="console", container_port=CONSOLE_PORT),
        ],
        startup_probe=http_probe("/minio/health/ready", "s3", period=1, failures=120),
        readiness_probe=http_probe("/minio/health/ready", "s3", period=5, failures=2),
        liveness_probe=http_probe("/minio/health/live", "s3", period=10, failures=6),
        resources=resources("100m", "256Mi", most_cpu="4", most_memory="1Gi"),
    )
    return restricted_pod(
        container,
        user=MINIO_USER,
        mounts=[k8s.core.v1.VolumeMountArgs(name=DATA_VOLUME, mount_path="/data")],
    )
