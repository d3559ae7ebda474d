"""Reusable components of MLflow on Kubernetes: stores, tracking server, backups, workspace."""

from ._egress import EgressArgs
from ._kubernetes.pod_options import PodArgs, PodResources
from ._kubernetes.pods import Credentials
from ._kubernetes.publishing import IngressArgs, let_solvers_in
from ._kubernetes.retention import RetentionArgs, VolumeOwner
from ._rotation import RotationArgs
from .artifact_stores.existing_hdfs import ExistingHdfs, ExistingHdfsArgs
from .artifact_stores.hdfs import Hdfs, HdfsArgs
from .artifact_stores.minio import Minio, MinioArgs
from .artifact_stores.s3 import S3, S3Args
from .backend_stores.external_database import ExternalDatabase, ExternalDatabaseArgs
from .backend_stores.mysql import Mysql, MysqlArgs
from .backend_stores.postgres import Postgres, PostgresArgs
from .backups import Backups, BackupsArgs
from .client_workspace import ClientWorkspace, ClientWorkspaceArgs
from .contracts import ArtifactStore, BackendStore, BackupTarget, Tracking
from .held_data import HeldData, Loss, VersionRule
from .local_certificate import LocalCertificate, LocalCertificateArgs
from .stack_namespace import StackNamespace, StackNamespaceArgs
from .tracking_server import TrackingServer, TrackingServerArgs

__all__ = [
    "S3",
    "ArtifactStore",
    "BackendStore",
    "BackupTarget",
    "Backups",
    "BackupsArgs",
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
    "HeldData",
    "IngressArgs",
    "LocalCertificate",
    "LocalCertificateArgs",
    "Loss",
    "Minio",
    "MinioArgs",
    "Mysql",
    "MysqlArgs",
    "PodArgs",
    "PodResources",
    "Postgres",
    "PostgresArgs",
    "RetentionArgs",
    "RotationArgs",
    "S3Args",
    "StackNamespace",
    "StackNamespaceArgs",
    "Tracking",
    "TrackingServer",
    "TrackingServerArgs",
    "VersionRule",
    "VolumeOwner",
    "let_solvers_in",
]
