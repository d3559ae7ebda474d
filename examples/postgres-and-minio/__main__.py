"""MLflow on a PostgreSQL and a MinIO of its own, in a namespace that this program makes."""

import pulumi
from pulumi_mlflow_kubernetes import Minio, Postgres, StackNamespace, TrackingServer

place = StackNamespace("postgres-and-minio")
database = Postgres("database", {"namespace": place.namespace, "storage": "2Gi"})
artifacts = Minio(
    "artifacts",
    {
        "namespace": place.namespace,
        "storage": "5Gi",
        "host": "s3.postgres-and-minio.local",
        "console_host": "console.postgres-and-minio.local",
    },
)
tracking = TrackingServer(
    "tracking",
    {
        "namespace": place.namespace,
        "backend_store": database,
        "artifact_store": artifacts,
        "host": "postgres-and-minio.local",
    },
)

pulumi.export("tracking_uri", tracking.tracking_uri)
pulumi.export("client_env", tracking.client_env)
