"""Defaults that components share with each other and with the settings.

After a change, `python -m settings.generate` writes Pulumi.yaml and docs/settings.md.
"""

NAMESPACE = "default"
"""Kubernetes' own default."""

SERVER_IMAGE = "mlflow-kubernetes/server:3.17.2-1c3b8eb9"
"""Built from images/mlflow."""
POSTGRES_IMAGE = "postgres:18.6"
PATRONI_IMAGE = "mlflow-kubernetes/patroni:18.6-4.1.5-ba0fd314"
"""Built from images/patroni, on the image above."""
MYSQL_IMAGE = "mysql:9.7.1"
MINIO_IMAGE = "mlflow-kubernetes/minio:20260212-39ca97dc"
"""Built from images/minio."""
HDFS_IMAGE = "apache/hadoop:3.4.2"
RCLONE_IMAGE = "rclone/rclone:1.75.2"
"""Copies backups and artifacts. Its program is static, so that any image runs it."""
WORKSPACE_IMAGE = "mlflow-kubernetes/client:3.17.2-c7e403f8"
"""Built from images/client."""

DATABASE_STORAGE = "8Gi"
ARTIFACT_STORAGE = "20Gi"
WORKSPACE_STORAGE = "5Gi"
BACKUP_STORAGE = "8Gi"

DATABASE_CPUS = 4
DATABASE_CONNECTIONS = 190
EXTERNAL_CONNECTIONS = 90
"""PostgreSQL allows 100 unless its owner changes that."""
