"""MLflow tracking on Kubernetes: settings, backends, tracking server, and what clients need."""

import wiring
from components import ClientWorkspace, LocalCertificate, TrackingServer, let_solvers_in
from kept import refuse_to_lose_it
from outputs import export
from settings import Settings

settings = Settings.load()
refuse_to_lose_it(settings)

place = wiring.place(settings)
namespace, inside = place.namespace, place.inside

certificate = None
if settings.tls == "generated":
    certificate = LocalCertificate(
        "ingress", wiring.local_certificate(settings, namespace), opts=inside
    )
ingress = wiring.ingress(settings, certificate)
if settings.tls == "cert-manager":
    let_solvers_in(ingress, namespace, inside)

database = wiring.backend_store(settings, place)
artifacts = wiring.artifact_store(settings, place, ingress)
tracking = TrackingServer(
    "mlflow",
    wiring.tracking_server(settings, namespace, database, artifacts, ingress),
    opts=inside,
)

workspace = None
if settings.client_workspace:
    workspace = ClientWorkspace(
        "workspace",
        wiring.client_workspace(settings, namespace, tracking, artifacts, ingress),
        opts=inside,
    )

export(settings, artifacts, tracking, workspace, certificate)
