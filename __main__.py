"""MLflow tracking on Kubernetes: settings, backends, tracking server, and what clients need."""

from components import (
    ARTIFACT_STORES,
    BACKEND_STORES,
    ClientWorkspace,
    LocalCertificate,
    Place,
    TrackingServer,
    let_solvers_in,
)
from kept import refuse_to_lose_it
from outputs import export
from settings import Settings

settings = Settings.load()
refuse_to_lose_it(settings)
place = Place(**settings.place)
here = {"namespace": place.namespace}
ingress, certificate, workspace = settings.ingress, None, None
if settings.tls == "generated":
    certificate = LocalCertificate("ingress", settings.certificate | here, opts=place.inside)
    ingress["tls_secret"] = certificate.secret
if settings.tls == "cert-manager":
    let_solvers_in(ingress, place.namespace, place.inside)
database = BACKEND_STORES[settings.backend_store](
    settings.backend_store, {**settings.database, **here}, opts=place.inside
)
artifacts = ARTIFACT_STORES[settings.artifact_store](
    settings.artifact_store, {**settings.artifacts(ingress), **here}, opts=place.inside
)
direct = settings.artifact_access == "direct"
tracking = TrackingServer(
    "mlflow",
    settings.tracking
    | here
    | {
        "backend_store": database.credentials,
        "backend_connections": database.connections,
        "artifact_store": artifacts.credentials,
        "default_artifact_root": artifacts.artifact_root if direct else None,
        "artifact_env": artifacts.client_env if direct else {},
        "ingress": ingress,
    },
    opts=place.inside,
)
if settings.client_workspace:
    workspace = ClientWorkspace(
        "workspace",
        settings.workspace
        | here
        | {
            "tracking_uri": tracking.tracking_uri_in_cluster,
            "tracking_user": tracking.logins.get("workspace"),
            "tracking_client_labels": tracking.client_labels,
            "artifact_store": artifacts.credentials if direct else None,
            "ingress": ingress,
        },
        opts=place.inside,
    )
export(settings, artifacts, tracking, workspace, certificate)
