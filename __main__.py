"""MLflow tracking on Kubernetes: settings, backends, tracking server, and what clients need."""

import pulumi
import pulumi_kubernetes as k8s

import wiring
from components import (
    Backups,
    ClientWorkspace,
    LocalCertificate,
    StackNamespace,
    TrackingServer,
    let_solvers_in,
)
from data_guard import refuse_data_loss, tell_of_a_new_namespace
from outputs import export
from settings.load import load

settings = load()
former_namespace = refuse_data_loss(settings)

inside = pulumi.ResourceOptions(provider=k8s.Provider("cluster", wiring.cluster(settings)))
# The default provider makes the namespace: it refuses a namespace that exists already.
place = StackNamespace("mlflow", wiring.stack_namespace(settings), contents=inside)
tell_of_a_new_namespace(place, former_namespace)

certificate = None
if settings.tls == "generated":
    certificate = LocalCertificate("ingress", wiring.local_certificate(settings, place), inside)
ingress = wiring.ingress(settings, certificate)
if settings.tls == "cert-manager":
    let_solvers_in(ingress, place.namespace, inside)

database = wiring.backend_store(settings, place, inside)
artifacts = wiring.artifact_store(settings, place, ingress, inside)
backups = Backups("backup", wiring.backups(settings, place, database, artifacts), inside)
tracking = TrackingServer(
    "mlflow",
    wiring.tracking_server(settings, place, database, artifacts, ingress, kept_in=backups),
    inside,
)

workspace = None
if settings.client_workspace:
    workspace = ClientWorkspace(
        "workspace", wiring.client_workspace(settings, place, tracking, artifacts, ingress), inside
    )

export(settings, artifacts, tracking, backups, workspace=workspace, certificate=certificate)
