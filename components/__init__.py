"""Reusable components of MLflow on Kubernetes: backend store, artifact store, tracking server."""

from components._ingress import IngressArgs
from components._labels import NAMESPACE_LABELS
from components._pods import Credentials
from components.minio import Minio, MinioArgs
from components.mysql import Mysql, MysqlArgs
from components.postgres import Postgres, PostgresArgs
from components.tracking_server import TrackingServer, TrackingServerArgs

BACKEND_STORES: dict[str, type[Postgres] | type[Mysql]] = {"postgres": Postgres, "mysql": Mysql}
"""Every backend store that is part of the stack; they take the same inputs."""

__all__ = [
    "BACKEND_STORES",
    "NAMESPACE_LABELS",
    "Credentials",
    "IngressArgs",
    "Minio",
    "MinioArgs",
    "Mysql",
    "MysqlArgs",
    "Postgres",
    "PostgresArgs",
    "TrackingServer",
    "TrackingServerArgs",
]
