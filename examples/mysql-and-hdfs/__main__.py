"""MLflow on a MySQL and an HDFS of its own; clients need neither Java nor HDFS's addresses."""

import pulumi
from pulumi_mlflow_kubernetes import Hdfs, Mysql, StackNamespace, TrackingServer

place = StackNamespace("mysql-and-hdfs")
database = Mysql("database", {"namespace": place.namespace, "storage": "2Gi"})
artifacts = Hdfs(
    "artifacts",
    {"namespace": place.namespace, "storage": "5Gi", "data_nodes": 2, "replication": 2},
)
tracking = TrackingServer(
    "tracking",
    {
        "namespace": place.namespace,
        "backend_store": database,
        "artifact_store": artifacts,
        "host": "mysql-and-hdfs.local",
    },
)

pulumi.export("tracking_uri", tracking.tracking_uri)
pulumi.export("artifact_root", artifacts.artifact_root)
pulumi.export("client_env", tracking.client_env)
