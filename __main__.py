"""MLflow tracking on Kubernetes: settings, backends, tracking server, and what clients need."""

import pulumi

from components import (
    ARTIFACT_STORES,
    BACKEND_STORES,
    ClientWorkspace,
    LocalCertificate,
    Place,
    TrackingServer,
    default_deny,
    let_solvers_in,
)
from kept import refuse_to_lose_it
from settings import Settings

settings = Settings.load()
refuse_to_lose_it(settings)
place = Place(
    settings.namespace,
    ours=settings.create_namespace,
    context=settings.context,
    protected=settings.protect_data,
)
namespace, inside = place.namespace, place.inside
default_deny(namespace, whole=settings.create_namespace, opts=inside)

ingress = settings.ingress
if settings.tls == "generated":
    certificate = LocalCertificate(
        "ingress",
        settings.certificate | {"namespace": namespace},
        opts=inside,
    )
    ingress["tls_secret"] = certificate.secret
    pulumi.export("ca_certificate", certificate.authority)
if settings.tls == "cert-manager":
    let_solvers_in(ingress, namespace, inside)
database = BACKEND_STORES[settings.backend_store](
    settings.backend_store,
    {"namespace": namespace, **settings.database},
    opts=place.data,
)
artifacts = ARTIFACT_STORES[settings.artifact_store](
    settings.artifact_store,
    {"namespace": namespace, **settings.artifacts(ingress)},
    opts=place.data,
)
direct = settings.artifact_access == "direct"
tracking = TrackingServer(
    "mlflow",
    settings.tracking
    | {
        "namespace": namespace,
        "backend_store": database.credentials,
        "backend_connections": database.connections,
        "artifact_store": artifacts.credentials,
        "default_artifact_root": artifacts.artifact_root if direct else None,
        "ingress": ingress,
    },
    opts=inside,
)
if settings.client_workspace:
    workspace = ClientWorkspace(
        "workspace",
        settings.workspace
        | {
            "namespace": namespace,
            "tracking_uri": tracking.tracking_uri_in_cluster,
            "tracking_user": tracking.logins.get("workspace"),
            "tracking_client_labels": tracking.client_labels,
            "artifact_store": artifacts.credentials if direct else None,
            "ingress": ingress,
        },
        opts=place.data,
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
