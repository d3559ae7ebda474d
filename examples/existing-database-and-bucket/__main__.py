"""MLflow on a database and a bucket that exist: the program makes the tracking server alone."""

import pulumi
from pulumi_mlflow_kubernetes import S3, ExternalDatabase, StackNamespace, TrackingServer

config = pulumi.Config()
place = StackNamespace("existing-database-and-bucket")
# Before the server starts, a Job of each component tries whether its login is enough.
database = ExternalDatabase(
    "database",
    {
        "namespace": place.namespace,
        "uri": config.require_secret("databaseUri"),
        "auth_uri": config.require_secret("usersDatabaseUri"),
        "ca": config.get("databaseCa") or None,
    },
)
artifacts = S3(
    "artifacts",
    {
        "namespace": place.namespace,
        "bucket": config.require("bucket"),
        "endpoint": config.get("endpoint") or None,
        "ca": config.get("endpointCa") or None,
        "access_key_id": config.require("accessKeyId"),
        "secret_access_key": config.require_secret("secretAccessKey"),
    },
)
tracking = TrackingServer(
    "tracking",
    {
        "namespace": place.namespace,
        "backend_store": database,
        "artifact_store": artifacts,
        "host": "existing-database-and-bucket.local",
    },
)

pulumi.export("tracking_uri", tracking.tracking_uri)
pulumi.export("client_env", tracking.client_env)
