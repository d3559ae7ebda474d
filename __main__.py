"""MLflow tracking on Kubernetes: settings, backends, tracking server, and what clients need."""

import pulumi
import pulumi_kubernetes as k8s

from components import BACKEND_STORES, NAMESPACE_LABELS, IngressArgs, Minio, TrackingServer
from settings import Settings

settings = Settings.load()
data = pulumi.ResourceOptions(protect=settings.protect_data)
ingress = IngressArgs(
    class_name=settings.ingress_class,
    annotations=settings.ingress_annotations,
    wait_seconds=settings.ingress_wait_seconds,
)

# A namespace that exists already is somebody else's: making it is refused, not taken over.
namespace = k8s.core.v1.Namespace(
    "namespace", metadata={"name": settings.namespace, "labels": NAMESPACE_LABELS}, opts=data
).metadata.name
# Inside it, what a killed `up` had made is taken up again: names are fixed, nothing is orphaned.
# Changed Secrets are updated in place, and the pods that read them restart.
cluster = k8s.Provider(
    "cluster",
    context=pulumi.Config("kubernetes").get("context"),
    upsert_existing_objects=True,
    enable_secret_mutable=True,
    enable_config_map_mutable=True,
)
inside = pulumi.ResourceOptions(provider=cluster)

database = BACKEND_STORES[settings.backend_store](
    settings.backend_store,
    {
        "namespace": namespace,
        "image": settings.backend_image,
        "storage": settings.database_storage,
        "storage_class": settings.storage_class,
    },
    opts=pulumi.ResourceOptions.merge(inside, data),
)
artifacts = Minio(
    "minio",
    {
        "namespace": namespace,
        "image": settings.minio_image,
        "server_image": settings.server_image,
        "storage": settings.artifact_storage,
        "storage_class": settings.storage_class,
        "host": settings.artifact_host,
        "console_host": settings.artifact_console_host,
        "ingress": ingress,
    },
    opts=pulumi.ResourceOptions.merge(inside, data),
)
tracking = TrackingServer(
    "mlflow",
    {
        "namespace": namespace,
        "image": settings.server_image,
        "host": settings.tracking_host,
        "backend_store": database.credentials,
        "backend_connections": database.connections,
        "artifact_store": artifacts.credentials,
        "replicas": settings.replicas,
        "workers": settings.workers,
        "memory": settings.server_memory,
        "job_execution": settings.job_execution,
        "allowed_hosts": settings.allowed_hosts,
        "ingress": ingress,
    },
    opts=inside,
)

pulumi.export("tracking_uri", tracking.tracking_uri)
pulumi.export("tracking_uri_in_cluster", tracking.tracking_uri_in_cluster)
pulumi.export("artifact_root", artifacts.artifact_root)
pulumi.export("s3_endpoint_url", artifacts.endpoint_url)
pulumi.export("hosts_line", settings.hosts_line(tracking.address))
# Artifacts go through the server, so one variable is all that a client needs.
pulumi.export("client_env", pulumi.Output.secret({"MLFLOW_TRACKING_URI": tracking.tracking_uri}))
