"""The way from settings to components: for each component, one function returns its inputs.

Those of the artifact stores are in artifact_stores/.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pulumi
import pulumi_kubernetes as k8s
import yaml

from artifact_stores._choice import Surroundings
from components import (
    ArtifactStore,
    BackendStore,
    Backups,
    BackupsArgs,
    ClientWorkspaceArgs,
    EgressArgs,
    ExternalDatabase,
    ExternalDatabaseArgs,
    IngressArgs,
    LocalCertificate,
    LocalCertificateArgs,
    Mysql,
    MysqlArgs,
    PodArgs,
    Postgres,
    PostgresArgs,
    RotationArgs,
    StackNamespace,
    StackNamespaceArgs,
    TrackingServer,
    TrackingServerArgs,
)
from components._kubernetes.pod_json import from_kubernetes
from components._kubernetes.pod_options import merged
from components._kubernetes.uris import is_mysql
from settings.assembled import Settings

_WORKSPACE_USER = "workspace"
"""MLflow user of the workspace."""


def kubectl(settings: Settings) -> str:
    """Return the kubectl command, with its options, that reaches the stack's cluster."""
    return f"kubectl --context={settings.context}" if settings.context else "kubectl"


def kubeconfig_contexts() -> list[str]:
    """Return the contexts of the kubeconfig that kubectl and the provider read.

    The list is empty where there is no kubeconfig, or where a file of it cannot be read: kubectl
    and the provider report that themselves.
    """
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    found: list[str] = []
    for file in filter(Path.is_file, map(Path, filter(None, files.split(os.pathsep)))):
        try:
            found += [context["name"] for context in yaml.safe_load(file.read_text())["contexts"]]
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
            return []
    return found


def cluster(settings: Settings) -> k8s.ProviderArgs:
    """Return the inputs of the provider of all objects in the namespace.

    Raises:
        pulumi.RunError: if the kubeconfig lacks the context. The provider would notice that only
            when it changes an object, and the state would name the wrong context by then.
    """
    # The default provider, which makes the namespace, reads these two settings itself.
    name, kubeconfig = settings.context, settings.kubeconfig
    known = [] if kubeconfig else kubeconfig_contexts()
    if known and name and name not in known:
        raise pulumi.RunError(
            f"kubernetes:context: {name!r}; accepted: a context of the kubeconfig, "
            + " or ".join(map(repr, known))
        )
    # In the stack's own namespace, `up` takes over an object that a killed `up` made. Server-side
    # apply does that: before provider 4.29 always, since then with upsert_existing_objects. In
    # another namespace, an object of the same name may belong to others. Without server-side apply,
    # every release of the provider sends a create, which fails if the object exists.
    own = settings.create_namespace
    return k8s.ProviderArgs(
        context=name,
        kubeconfig=kubeconfig,
        enable_server_side_apply=own,
        upsert_existing_objects=own,
        # Changed Secrets are updated in place, and the pods that read them restart.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
    )


def stack_namespace(settings: Settings) -> StackNamespaceArgs:
    """Return the inputs of the namespace."""
    return {
        "name": settings.namespace,
        "create": settings.create_namespace,
        "protect": settings.protect_data,
    }


def this_year() -> int:
    """Return the year in UTC: certificates are renewed once a year."""
    return datetime.now(UTC).year


def local_certificate(settings: Settings, place: StackNamespace) -> LocalCertificateArgs:
    """Return the inputs of the certificate that the stack makes for its own host names."""
    return {
        "namespace": place.namespace,
        "retention": place.retention,
        "hosts": list(settings.hosts.values()),
        "scope": settings.possible_hosts,
        "year": this_year(),
    }


def ingress(settings: Settings, certificate: LocalCertificate | None) -> IngressArgs:
    """Return the inputs of the publication of host names."""
    return {
        "class_name": settings.ingress_class,
        "annotations": settings.ingress_annotations,
        "wait_seconds": settings.ingress_wait_seconds,
        "gateway": settings.gateway,
        "tls": settings.tls != "none",
        "tls_secret": certificate.secret if certificate else settings.tls_secret,
        "tls_issuer": settings.tls_issuer,
        "namespace": settings.ingress_namespace,
    }


def backend_store(
    settings: Settings, place: StackNamespace, opts: pulumi.ResourceOptions
) -> BackendStore:
    """Make the chosen backend store, under the name that ``mlflow:backendStore`` gives."""
    name = settings.backend_store
    match name:
        case "postgres":
            return Postgres(name, postgres(settings, place), opts)
        case "mysql":
            return Mysql(name, mysql(settings, place), opts)
        case "external":
            return ExternalDatabase(name, external_database(settings, place), opts)


def postgres(settings: Settings, place: StackNamespace) -> PostgresArgs:
    """Return the inputs of the PostgreSQL server."""
    inputs: PostgresArgs = {
        "namespace": place.namespace,
        "retention": place.retention,
        "pods": _pods(settings),
        "image": settings.postgres_image,
        "former_image": settings.postgres_former_image,
        "replication": settings.backup_point_in_time,
        "storage": settings.database_storage,
        "storage_class": settings.storage_class,
        "memory": settings.database_memory,
        "cpus": settings.database_cpus,
        "connections": settings.database_connections,
    }
    # Without a rotation and with a single server, a stack has the inputs that it always had.
    if number := settings.rotation.get("database"):
        inputs["rotation"] = number
    if settings.database_replicas > 1:
        inputs["replicas"] = settings.database_replicas
        inputs["patroni_image"] = settings.patroni_image
    return inputs


def mysql(settings: Settings, place: StackNamespace) -> MysqlArgs:
    """Return the inputs of the MySQL server."""
    inputs: MysqlArgs = {
        "namespace": place.namespace,
        "retention": place.retention,
        "pods": _pods(settings),
        "image": settings.mysql_image,
        "storage": settings.database_storage,
        "storage_class": settings.storage_class,
        "memory": settings.database_memory,
        "cpus": settings.database_cpus,
        "connections": settings.database_connections,
    }
    # Without a rotation, a stack has the inputs that it always had.
    if number := settings.rotation.get("database"):
        inputs["rotation"] = number
    return inputs


def external_database(settings: Settings, place: StackNamespace) -> ExternalDatabaseArgs:
    """Return the inputs of the database outside the stack."""
    return {
        "namespace": place.namespace,
        "retention": place.retention,
        "pods": _pods(settings),
        "server_image": settings.server_image,
        "client_image": _client_image(settings),
        "uri": settings.database_uri,
        "auth_uri": settings.auth_database_uri,
        "secret": settings.database_secret,
        "auth": settings.auth == "basic",
        "ca": settings.database_ca,
        "connections": settings.database_connections,
        "networks": settings.external_networks,
    }


def _client_image(settings: Settings) -> str:
    """Return the image with the programs of the database outside the stack."""
    uri = settings.database_uri
    mysql = is_mysql(uri) if uri else settings.database_kind == "mysql"
    return settings.mysql_image if mysql else settings.postgres_image


def artifact_store(
    settings: Settings,
    place: StackNamespace,
    published: IngressArgs,
    opts: pulumi.ResourceOptions,
) -> ArtifactStore:
    """Make the chosen artifact store, under the name that ``mlflow:artifactStore`` gives."""
    around = Surroundings(place, _pods(settings), published, opts)
    return settings.store.make(settings.artifact_store, settings, around)


def tracking_server(
    settings: Settings,
    place: StackNamespace,
    database: BackendStore,
    artifacts: ArtifactStore,
    published: IngressArgs,
    *,
    kept_in: Backups,
) -> TrackingServerArgs:
    """Return the inputs of the tracking server."""
    inputs: TrackingServerArgs = {
        "backups": kept_in,
        "point_in_time": settings.backup_point_in_time,
        "namespace": place.namespace,
        "retention": place.retention,
        "pods": _server_pods(settings),
        "image": settings.server_image,
        "host": settings.hosts["trackingHost"],
        "path": settings.tracking_path,
        "backend_store": database,
        "artifact_store": artifacts,
        "direct_artifact_access": settings.artifact_access == "direct",
        "replicas": settings.replicas,
        "autoscaled": settings.autoscaled,
        "workers": settings.workers,
        "memory": settings.server_memory,
        "auth": settings.auth == "basic",
        "users": [_WORKSPACE_USER] if settings.client_workspace else [],
        "audit_log": settings.audit_log,
        "job_execution": settings.job_execution,
        "egress": _egress(settings),
        "allowed_hosts": settings.allowed_hosts,
        "ingress": published,
        "client_namespaces": settings.client_namespaces,
        "gc_schedule": settings.gc_schedule,
        "gc_older_than": settings.gc_older_than,
    }
    # Without a rotation, a stack has the inputs that it always had.
    if rotation := _rotation(settings):
        inputs["rotation"] = rotation
    return inputs


def _rotation(settings: Settings) -> RotationArgs:
    """Return what the tracking server has to end after a rotation. MinIO alone has its root."""
    numbers = {name: number for name, number in settings.rotation.items() if number}
    return cast("RotationArgs", {key: numbers[key] for key in numbers if key != "storeRoot"})


def backups(
    settings: Settings, place: StackNamespace, database: BackendStore, artifacts: ArtifactStore
) -> BackupsArgs:
    """Return the inputs of the backups."""
    return {
        "namespace": place.namespace,
        "retention": place.retention,
        "pods": _pods(settings),
        "server_image": settings.server_image,
        "rclone_image": settings.rclone_image,
        "backend_store": database,
        "artifact_store": artifacts,
        "schedule": settings.backup_schedule,
        "verify_schedule": settings.backup_verify_schedule,
        "keep": settings.backup_retention,
        "artifacts": settings.backup_artifacts,
        "point_in_time": settings.backup_point_in_time,
        "store": settings.backup_store,
        "storage": settings.backup_storage,
        "storage_class": settings.storage_class,
        "bucket": settings.backup_bucket,
        "prefix": settings.backup_prefix,
        "endpoint": settings.backup_endpoint,
        "region": settings.backup_region,
        "access_key_id": settings.backup_access_key_id,
        "secret_access_key": settings.backup_secret_access_key,
        "secret": settings.backup_secret,
        "ca": settings.backup_ca,
        "networks": settings.external_networks,
        "passphrase": settings.backup_passphrase,
    }


def _pods(settings: Settings) -> PodArgs | None:
    """Return the options of all pods."""
    return from_kubernetes(settings.pods) or None


def _server_pods(settings: Settings) -> PodArgs | None:
    """Return the options of the tracking server's pods.

    Some stores make the service account of these pods, and were checked with it.
    """
    pods = merged(from_kubernetes(settings.pods), from_kubernetes(settings.server_pods))
    if settings.store.has_service_account:
        pods.pop("service_account_annotations", None)
    return pods or None


def _egress(settings: Settings) -> EgressArgs:
    """Return the ways to servers that the tracking server may call, beside its backends."""
    return {
        "ways": settings.egress,
        "https_proxy": settings.https_proxy,
        "http_proxy": settings.http_proxy,
        "no_proxy": [*settings.no_proxy, *settings.store.unproxied(settings)],
        "ca": settings.egress_ca,
    }


def client_workspace(
    settings: Settings,
    place: StackNamespace,
    tracking: TrackingServer,
    artifacts: ArtifactStore,
    published: IngressArgs,
) -> ClientWorkspaceArgs:
    """Return the inputs of the workspace."""
    return {
        "namespace": place.namespace,
        "retention": place.retention,
        "pods": _pods(settings),
        "image": settings.workspace_image,
        "tracking_server": tracking,
        "user": _WORKSPACE_USER,
        "artifact_store": artifacts if settings.artifact_access == "direct" else None,
        "host": settings.workspace_host,
        "storage": settings.workspace_storage,
        "storage_class": settings.storage_class,
        "memory": settings.workspace_memory,
        "ingress": published,
    }
