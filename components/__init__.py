"""Reusable components of MLflow on Kubernetes: stores, tracking server, client workspace."""

from typing import Any, Protocol

import pulumi

from components._egress import EgressArgs
from components._ingress import IngressArgs, let_solvers_in
from components._pods import Credentials
from components.client_workspace import ClientWorkspace, ClientWorkspaceArgs
from components.existing_hdfs import ExistingHdfs, ExistingHdfsArgs
from components.external_database import ExternalDatabase, ExternalDatabaseArgs
from components.hdfs import Hdfs, HdfsArgs
from components.local_certificate import LocalCertificate, LocalCertificateArgs
from components.minio import Minio, MinioArgs
from components.mysql import Mysql, MysqlArgs
from components.place import Place
from components.postgres import Postgres, PostgresArgs
from components.s3 import S3, S3Args
from components.tracking_server import TrackingServer, TrackingServerArgs


class BackendStore(Protocol):
    """What every backend store publishes, wherever it runs."""

    credentials: Credentials
    """The Secret with keys ``MLFLOW_BACKEND_STORE_URI`` and, where there are users,
    ``MLFLOW_AUTH_DATABASE_URI``; known once the store takes queries."""
    connections: int
    """How many connections MLflow may hold at once."""

    def __init__(
        self, name: str, args: Any, opts: pulumi.ResourceOptions | None = None
    ) -> None: ...


class ArtifactStore(Protocol):
    """What every artifact store publishes, wherever it runs."""

    artifact_root: pulumi.Output[str]
    """Where artifacts are kept, as a URI that MLflow reads."""
    endpoint_url: pulumi.Output[str]
    """URL of the store outside the cluster; empty where it has none."""
    credentials: Credentials
    """The Secret with key ``MLFLOW_ARTIFACTS_DESTINATION`` and all that the store's client needs;
    known once the store takes artifacts."""
    client_env: pulumi.Output[dict[str, str]]
    """The environment of a client that reaches the store itself; secret where a key is in it."""

    def __init__(
        self, name: str, args: Any, opts: pulumi.ResourceOptions | None = None
    ) -> None: ...


BACKEND_STORES: dict[str, type[BackendStore]] = {
    "postgres": Postgres,
    "mysql": Mysql,
    "external": ExternalDatabase,
}
"""Every backend store, by the setting that chooses it."""
ARTIFACT_STORES: dict[str, type[ArtifactStore]] = {
    "minio": Minio,
    "hdfs": Hdfs,
    "s3": S3,
    "existing-hdfs": ExistingHdfs,
}
"""Every artifact store, by the setting that chooses it."""

__all__ = [
    "ARTIFACT_STORES",
    "BACKEND_STORES",
    "S3",
    "ArtifactStore",
    "BackendStore",
    "ClientWorkspace",
    "ClientWorkspaceArgs",
    "Credentials",
    "EgressArgs",
    "ExistingHdfs",
    "ExistingHdfsArgs",
    "ExternalDatabase",
    "ExternalDatabaseArgs",
    "Hdfs",
    "HdfsArgs",
    "IngressArgs",
    "LocalCertificate",
    "LocalCertificateArgs",
    "Minio",
    "MinioArgs",
    "Mysql",
    "MysqlArgs",
    "Place",
    "Postgres",
    "PostgresArgs",
    "S3Args",
    "TrackingServer",
    "TrackingServerArgs",
    "let_solvers_in",
]
