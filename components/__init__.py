"""Reusable components of MLflow on Kubernetes: backend store, artifact store, tracking server."""

from components._ingress import IngressArgs
from components._labels import NAMESPACE_LABELS
from components._pods import Credentials
from components.minio import Minio, MinioArgs
from components.postgres import Postgres, PostgresArgs
from components.tracking_server import TrackingServer, TrackingServerArgs

__all__ = [
    "NAMESPACE_LABELS",
    "Credentials",
    "IngressArgs",
    "Minio",
    "MinioArgs",
    "Postgres",
    "PostgresArgs",
    "TrackingServer",
    "TrackingServerArgs",
]
