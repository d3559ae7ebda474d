"""MLflow tracking on Kubernetes: settings, backends, tracking server, and what clients need."""

from datetime import UTC, datetime

import pulumi
import pulumi_kubernetes as k8s

from components import (
    ARTIFACT_STORES,
    BACKEND_STORES,
    NAMESPACE_LABELS,
    ClientWorkspace,
    LocalCertificate,
    TrackingServer,
    default_deny,
    existing_namespace,
    let_solvers_in,
    volumes_go_with_the_stack,
)
from kept import refuse_to_lose_it
from settings import Settings

settings = Settings.load()
refuse_to_lose_it(settings)
data = pulumi.ResourceOptions(protect=settings.protect_data)

# A namespace that exists already is somebody else's: making it is refused, not taken over.
if settings.create_namespace:
    namespace = k8s.core.v1.Namespace(
        "namespace", metadata={"name": settings.namespace, "labels": NAMESPACE_LABELS}, opts=data
    ).metadata.name
else:
    namespace = existing_namespace(settings.namespace)
# Inside our own, what a killed `up` had made is taken up again: names are fixed, nothing is
# orphaned. Inside another, what has the same name may be somebody else's, and is refused.
# Changed Secrets are updated in place, and the pods that read them restart.
cluster = k8s.Provider(
    "cluster",
    context=settings.context,
    upsert_existing_objects=settings.create_namespace,
    enable_secret_mutable=True,
    enable_config_map_mutable=True,
)
inside = pulumi.ResourceOptions(provider=cluster)
if not settings.create_namespace:
    belong = volumes_go_with_the_stack(namespace, pulumi.ResourceOptions.merge(inside, data))
    inside = pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(transformations=[belong]))
default_deny(namespace, whole=settings.create_namespace, opts=inside)

ingress = settings.ingress
if settings.tls == "generated":
    certificate = LocalCertificate(
        "ingress",
        {
            "namespace": namespace,
            "hosts": list(settings.hosts.values()),
            "scope": settings.possible_hosts,
            "year": datetime.now(UTC).year,
        },
        opts=inside,
    )
    ingress["tls_secret"] = certificate.secret
    pulumi.export("ca_certificate", certificate.authority)
if settings.tls == "cert-manager":
    let_solvers_in(ingress, namespace, inside)
database = BACKEND_STORES[settings.backend_store](
    settings.backend_store,
    {"namespace": namespace, **settings.database},
    opts=pulumi.ResourceOptions.merge(inside, data),
)
artifacts = ARTIFACT_STORES[settings.artifact_store](
    settings.artifact_store,
    {"namespace": namespace, **settings.artifacts(ingress)},
    opts=pulumi.ResourceOptions.merge(inside, data),
)
direct = settings.artifact_access == "direct"
tracking = TrackingServer(
    "mlflow",
    {
        "namespace": namespace,
        "image": settings.server_image,
        "host": settings.tracking_host,
        "backend_store": database.credentials,
        "backend_connections": database.connections,
        "artifact_store": artifacts.credentials,
        "default_artifact_root": artifacts.artifact_root if direct else None,
        "replicas": settings.replicas,
        "workers": settings.workers,
        "memory": settings.server_memory,
        "auth": settings.auth == "basic",
        "users": ["workspace"] if settings.client_workspace else [],
        "job_execution": settings.job_execution,
        "allowed_hosts": settings.allowed_hosts,
        "client_namespaces": settings.client_namespaces,
        "ingress": ingress,
    },
    opts=inside,
)
if settings.client_workspace:
    workspace = ClientWorkspace(
        "workspace",
        {
            "namespace": namespace,
            "tracking_uri": tracking.tracking_uri_in_cluster,
            "tracking_user": tracking.logins.get("workspace"),
            "tracking_client_labels": tracking.client_labels,
            "artifact_store": artifacts.credentials if direct else None,
            "image": settings.workspace_image,
            "host": settings.workspace_host,
            "storage": settings.workspace_storage,
            "storage_class": settings.storage_class,
            "memory": settings.workspace_memory,
            "ingress": ingress,
        },
        opts=pulumi.ResourceOptions.merge(inside, data),
    )
    pulumi.export("workspace_url", workspace.url)
    pulumi.export("workspace_token", workspace.token)

pulumi.export("tracking_uri", tracking.tracking_uri)
pulumi.export("tracking_uri_in_cluster", tracking.tracking_uri_in_cluster)
pulumi.export("artifact_root", artifacts.artifact_root)
pulumi.export("s3_endpoint_url", artifacts.endpoint_url)
pulumi.export("hosts_line", settings.hosts_line(tracking.address))
# Where artifacts go through the server, a client needs no more than its address and a login.
pulumi.export(
    "client_env",
    pulumi.Output.all(tracking.client_env, artifacts.client_env if direct else {}).apply(
        lambda known: pulumi.Output.secret({**known[0], **known[1]})
    ),
)
if settings.auth == "basic":
    # Followed by a name, it makes a user.
    pulumi.export("add_user", pulumi.Output.concat(settings.kubectl, " ", tracking.add_user))
