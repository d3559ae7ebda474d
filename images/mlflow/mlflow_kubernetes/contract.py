"""Names that this package and the components share: what a pod of the server's image is given.

The components cannot import this package, nor the reverse. tests/unit/images/test_contract.py
compares both sides with this file.
"""

PROGRAMS = frozenset(
    {
        "backup.archive",
        "backup.connections",
        "backup.restore",
        "backup.save",
        "backup.verify",
        "check_bucket",
        "check_database",
        "end_former",
        "gc",
        "migrate",
        "provision_bucket",
        "provision_hdfs",
        "serve",
        "users",
    }
)
"""The modules that a pod, or an operator in a pod, runs as `python -m mlflow_kubernetes.<name>`."""
ADMIN = "admin"
"""The user who may do anything."""
WORKSPACE = "workspace"
"""The user of the client workspace."""

RECORD_KEY = "upgrade.json"
"""The key of the record in its ConfigMap."""

# Variables of this package.
API_FOLDER = "UPGRADE_API_FOLDER"
"""The folder with the migration Job's token for the Kubernetes API."""
AUDIT_LOG = "AUDIT_LOG"
"""Is set if the server writes a line for each request that changes anything."""
AUTHENTICATION = "AUTHENTICATION"
"""Is set if the server has a login, so that the database of users is checked as well."""
AUTH_DATABASE_URI = "MLFLOW_AUTH_DATABASE_URI"
"""The address of the database of users, for which MLflow has no variable."""
AUTOSCALED = "UPGRADE_AUTOSCALED"
"""Is set if an autoscaler decides the number of servers."""
CONNECTIONS = "CONNECTIONS"
"""The number of connections that a database has to allow."""
DATABASE_CA = "DATABASE_CA"
"""The path of a file with the authorities that may sign a database's certificate."""
DEPLOYMENT = "UPGRADE_DEPLOYMENT"
"""The name of the servers' Deployment."""
EGRESS = "MLFLOW_KUBERNETES_EGRESS"
"""The open ways out: a JSON list of networks, names of namespaces, and `internet`."""
EGRESS_CA = "MLFLOW_KUBERNETES_EGRESS_CA"
"""The path of a file with certificates that outgoing calls trust beside the public ones, as PEM."""
FORMER_KEYS = "MLFLOW_KUBERNETES_FORMER_KEYS"
"""The keys that were rotated, the newest first: a JSON object with the lists `passphrases` and
`webhooks`."""
FORMER_LOGINS = "DATABASE_FORMER_LOGINS"
"""The former logins of MySQL that are to end: a JSON object of passwords by name."""
FORMER_POD_SECONDS = "FORMER_POD_SECONDS"
"""How long a server of the former keys may take to end, in seconds."""
HDFS_SUPERUSER = "HDFS_SUPERUSER"
"""The user who makes the artifacts' folder in HDFS; without it, the folder has to exist."""
IMAGE = "UPGRADE_IMAGE"
"""The image that the migration Job and the new servers have."""
PUBLIC_PATH = "PUBLIC_PATH"
"""The path below which a proxy serves MLflow, such as `/mlflow`."""
RECORD = "UPGRADE_RECORD"
"""The name of the ConfigMap with the record of the last upgrade."""
RECORD_FOLDER = "UPGRADE_RECORD_FOLDER"
"""The folder in which that ConfigMap is mounted."""
ROLLBACK = "UPGRADE_ROLLBACK"
"""Is set if the tables are to be replaced by those of the dump of the last upgrade."""
SECRETS_READ = "SECRETS_READ"
"""The names of the Secrets that a Job reads, for its messages."""
SUPERUSER_URI = "DATABASE_SUPERUSER_URI"
"""The address of PostgreSQL with the superuser's login, where former logins are to end."""
TIMEOUT_SECONDS = "TIMEOUT_SECONDS"
"""How long a Job waits for the server that it needs, in seconds."""
USERS = "USERS"
"""The stack's own users with their passwords, as a JSON object."""
WORK = "UPGRADE_WORK"
"""The folder that the containers of the migration Job's pod share; is not set without backups."""

# Variables of MLflow, MinIO and Hadoop that this package reads as well.
ARTIFACTS_DESTINATION = "MLFLOW_ARTIFACTS_DESTINATION"
ARTIFACT_ROOT = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
BACKEND_STORE_URI = "MLFLOW_BACKEND_STORE_URI"
HADOOP_USER = "HADOOP_USER_NAME"
MINIO_PASSWORD = "MINIO_ROOT_PASSWORD"  # noqa: S105 (a name)
MINIO_USER = "MINIO_ROOT_USER"
S3_ADDRESSING_STYLE = "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"
S3_ENDPOINT_URL = "MLFLOW_S3_ENDPOINT_URL"
S3_KEY = "AWS_ACCESS_KEY_ID"
S3_SECRET = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 (a name)

# Variables of the Secret of a backup target. The last two may come from another Secret, whose keys
# have these names without the prefix `BACKUP_`.
BACKUP_STORE = "BACKUP_STORE"
"""What the backup target is: `volume`, `s3` or `artifacts`."""
BACKUP_PASSPHRASE = "BACKUP_PASSPHRASE"  # noqa: S105 (a name)
"""The passphrase with which everything in the target is encrypted."""
BACKUP_REASON = "BACKUP_REASON"
"""Why a backup is made: `schedule`, `command` or `restore`."""
BACKUP_BUCKET = "BACKUP_BUCKET"
"""The bucket of a target `s3`, which exists."""
BACKUP_PREFIX = "BACKUP_PREFIX"
"""The folder in the bucket; empty for the whole bucket."""
BACKUP_ENDPOINT = "BACKUP_ENDPOINT"
"""The URL of the S3 endpoint; empty for Amazon's own."""
BACKUP_REGION = "BACKUP_REGION"
"""The region that requests are signed for."""
BACKUP_CA = "BACKUP_CA"
"""The path of a file with the certificates to trust at the endpoint."""
BACKUP_KEY = "BACKUP_AWS_ACCESS_KEY_ID"
"""The access key of a target `s3`, which is required there."""
BACKUP_SECRET = "BACKUP_AWS_SECRET_ACCESS_KEY"  # noqa: S105 (a name)

# Variables of MLflow, of the AWS libraries and of Hadoop that backups read as well.
CRYPTO_PASSPHRASE = "MLFLOW_CRYPTO_KEK_PASSPHRASE"  # noqa: S105 (a name)
HADOOP_CONFIGURATION = "HADOOP_CONF_DIR"
KERBEROS = "KRB5_CONFIG"
S3_CA = "AWS_CA_BUNDLE"
S3_REGION = "AWS_DEFAULT_REGION"
WEBHOOK_KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"

# Variables that `make restore` gives the Job that restores.
RESTORE_FROM = "RESTORE_FROM"
"""The name of the backup to restore; empty for none."""
RESTORE_AT = "RESTORE_AT"
"""The moment that the databases go back to, in UTC; empty for the moment of the backup."""
RESTORE_OVERWRITE = "RESTORE_OVERWRITE"
"""`yes` where the data of the stack may be replaced."""
