"""The settings that every stack has, declared once, in groups.

To add one, declare it in the class of its group, then run ``python -m settings.generate``. The
settings of one artifact store alone are in artifact_stores/. Defaults that components have too are
read from them.
"""

from typing import Annotated, Literal

from pydantic import Field

from components import _defaults
from settings import values
from settings.declarations import Group
from settings.values import Kind

BackupStoreKind = Literal["volume", "s3", "artifacts"]
BackendStoreKind = Literal["postgres", "mysql", "external"]


class Stack(Group):
    """Namespace, stores and volumes"""

    namespace: values.Namespace = Field(
        "mlflow", description="Namespace of the stack. `pulumi destroy` removes it."
    )
    create_namespace: bool = Field(
        True,
        description="Whether the stack makes its namespace. false: the stack uses a namespace "
        "that exists, and leaves it in place.",
    )
    backend_store: BackendStoreKind = Field(
        "postgres",
        description="Database for runs, metrics and registered models: a server of the stack, or "
        "`external`, a database that exists.",
    )
    # settings/assembled.py says which stores there are.
    artifact_store: Annotated[str, Kind("the name of a store")] = Field(
        "minio", description="Store for files and models."
    )
    artifact_access: Literal["proxied", "direct"] = Field(
        "proxied",
        description="How clients reach the artifact store: through the tracking server, or "
        "directly, with a login of their own.",
    )
    external_networks: values.Networks = Field(
        [],
        description="Networks of a database, bucket or HDFS outside the stack, as CIDRs. Empty "
        "means any network, except the cloud's own addresses.",
    )
    database_storage: values.VolumeSize = Field(
        _defaults.DATABASE_STORAGE, description="Size of the database's volume."
    )
    database_replicas: int = Field(
        1,
        ge=1,
        le=5,
        description="backendStore postgres: number of members, 1, 3 or 5. With 3, a write is "
        "acknowledged when two members have it, and another one takes the writes when the one that "
        "did is lost: see [high-availability.md](high-availability.md).",
    )
    database_memory: values.DatabaseMemory | None = Field(
        None,
        description="Memory of the stack's own database. A quarter of it becomes PostgreSQL's "
        "shared_buffers, or half of it MySQL's buffer pool. \"\" means 1Gi, with the database's "
        "own sizes.",
    )
    database_cpus: int = Field(
        _defaults.DATABASE_CPUS,
        ge=1,
        le=128,
        description="How many processors the stack's own database may use.",
    )
    database_connections: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="How many connections to the database the stack may hold. The stack's own "
        f'database accepts 10 more. "" means {_defaults.DATABASE_CONNECTIONS}, or '
        f"{_defaults.EXTERNAL_CONNECTIONS} with backendStore external.",
    )
    artifact_storage: values.VolumeSize = Field(
        _defaults.ARTIFACT_STORAGE,
        description="Size of the artifact store's volume; with HDFS, of each DataNode's volume.",
    )
    storage_class: values.ClassName | None = Field(
        None, description='Storage class of all volumes. "" means the cluster\'s default.'
    )
    protect_data: bool = Field(
        False,
        description="Whether Pulumi refuses to remove volumes and passwords, `pulumi destroy` "
        "included.",
    )
    rotation: values.Rotation = Field(
        {},
        description="How many times generated passwords and keys were rotated. A higher number "
        "makes a new one, and ends the former one: see [rotation.md](rotation.md). `make rotate` "
        "raises the numbers.",
    )


class ExternalDatabase(Group):
    """A database that exists"""

    database_uri: values.DatabaseUri | None = Field(
        None,
        description="backendStore external: address of the database, "
        "driver://user:password@host:port/database, set with --secret.",
    )
    auth_database_uri: values.DatabaseUri | None = Field(
        None,
        description="backendStore external, auth basic: address of the database for users, set "
        "with --secret. It may be the same as databaseUri.",
    )
    database_secret: values.SecretName | None = Field(
        None,
        description="backendStore external, instead of both addresses: a Secret of the namespace "
        "with keys MLFLOW_BACKEND_STORE_URI and, for auth basic, MLFLOW_AUTH_DATABASE_URI.",
    )
    database_kind: Literal["postgres", "mysql"] = Field(
        "postgres",
        description="backendStore external with databaseSecret: what the database is. The programs "
        "that dump it are those of postgresImage or mysqlImage.",
    )
    database_ca: values.Certificates | None = Field(
        None,
        description="backendStore external: certificates of the authorities that may sign the "
        'database\'s certificate, as PEM. "" means that the address decides.',
    )


class TrackingServer(Group):
    """Tracking server"""

    replicas: int = Field(
        1,
        ge=1,
        le=20,
        description="Number of tracking server pods; with autoscaled, the greatest number.",
    )
    autoscaled: bool = Field(
        False,
        description="Whether a HorizontalPodAutoscaler of yours decides the number of pods, up to "
        "replicas.",
    )
    workers: int = Field(2, ge=1, le=16, description="Server processes in each pod.")
    server_memory: values.ServerMemory = Field(
        "1Gi", description="Memory request and limit of each tracking server pod."
    )
    job_execution: bool = Field(
        False,
        description="Whether MLflow's job runners (for example for GenAI scorers) run, in a single "
        "pod. They take 1.4 GB more memory.",
    )
    auth: Literal["basic", "none"] = Field(
        "basic", description="Whether clients need a user's name and password (basic) or not."
    )
    audit_log: bool = Field(
        True,
        description="Whether the tracking server writes a line to its log for each request that "
        "changes anything: who, what, on which object, with which answer.",
    )
    allowed_hosts: values.HostPatterns = Field(
        [],
        description="More Host headers that the tracking server answers, beside those of the "
        "deployment: names, patterns such as `*.corp`, addresses, or networks such as "
        "`100.64.0.0/10`.",
    )
    client_namespaces: values.Namespaces = Field(
        [],
        description="Namespaces whose pods may reach the tracking server without the ingress, and "
        "with artifactAccess direct the store.",
    )
    gc_schedule: values.Schedule | None = Field(
        None,
        description="When deleted runs, models and experiments are removed for good, as a cron "
        'expression in UTC. "" means that only `make gc` removes them.',
    )
    gc_older_than: values.Age = Field(
        "30d", description="Age since the deletion, from which on they are removed."
    )


class Backups(Group):
    """Backups"""

    backup_schedule: values.Schedule | None = Field(
        None,
        description="When databases, artifacts and keys are backed up, as a cron expression in "
        'UTC. "" means that only `make backup` does it.',
    )
    backup_verify_schedule: values.Schedule | None = Field(
        "0 5 * * 0",
        description="With backupSchedule: when the newest backup is restored into a database of "
        'its own and compared, as a cron expression in UTC. "" means that only `make '
        "verify-backup` does it.",
    )
    backup_retention: values.Age = Field(
        "30d",
        description="Age from which on a backup is removed. The newest complete backup stays.",
    )
    backup_artifacts: bool = Field(
        True, description="Whether a backup has the artifacts, beside databases and keys."
    )
    backup_point_in_time: bool = Field(
        False,
        description="With backupSchedule, on backendStore postgres: whether the write-ahead log "
        "(WAL) is archived as it comes, so that `make restore AT=` brings back any moment since a "
        "backup. backupStore is then s3 or artifacts.",
    )
    backup_store: BackupStoreKind = Field(
        "volume",
        description="Where backups are kept: a volume of the stack, a bucket that exists (`s3`), "
        "or a folder of the artifact store (`artifacts`), which is lost with that store.",
    )
    backup_storage: values.VolumeSize = Field(
        _defaults.BACKUP_STORAGE, description="backupStore volume: size of the volume."
    )
    backup_passphrase: values.BackupPassphrase | None = Field(
        None,
        description='Passphrase with which backups are encrypted, set with --secret. "" means a '
        "generated one: `pulumi stack output backup_passphrase --show-secrets`.",
    )
    backup_bucket: values.S3Bucket | None = Field(
        None, description="backupStore s3: name of a bucket that exists."
    )
    backup_prefix: values.S3Prefix | None = Field(
        None, description='backupStore s3: folder in the bucket. "" means the whole bucket.'
    )
    backup_endpoint: values.S3Endpoint | None = Field(
        None, description='backupStore s3: URL of the S3 endpoint. "" means Amazon S3.'
    )
    backup_region: values.S3Region = Field(
        "us-east-1", description="backupStore s3: region for which requests are signed."
    )
    backup_access_key_id: values.S3AccessKeyId | None = Field(
        None, description="backupStore s3: access key."
    )
    backup_secret_access_key: values.S3SecretAccessKey | None = Field(
        None, description="backupStore s3: the access key's secret, set with --secret."
    )
    backup_secret: values.SecretName | None = Field(
        None,
        description="backupStore s3, instead of a key: a Secret of the namespace with keys "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    )
    backup_ca: values.Certificates | None = Field(
        None,
        description="backupStore s3: certificates of the authorities that may sign the endpoint's "
        'certificate, as PEM. "" means the public authorities.',
    )


class CallsOut(Group):
    """Calls of the tracking server to other servers"""

    egress: values.WaysOut = Field(
        [],
        description="Ways out of the tracking server for webhooks, model providers and proxies: "
        "internet, networks or namespaces, each with :<port> if need be.",
    )
    https_proxy: values.Proxy | None = Field(
        None,
        description="URL of the proxy for calls by HTTPS, http://host:port. An address with a "
        "password is set with --secret.",
    )
    http_proxy: values.Proxy | None = Field(
        None, description="URL of the proxy for calls by plain HTTP, in the same form."
    )
    no_proxy: values.HostsWithoutProxy = Field(
        [],
        description="Hosts, or domains such as .example.com, that are called without a proxy, "
        "beside those of the cluster and of the store.",
    )
    egress_ca: values.Certificates | None = Field(
        None,
        description="Certificates of authorities that outgoing calls trust beside the public "
        "ones, as PEM.",
    )


class Ingress(Group):
    """Host names, ingress and HTTPS"""

    tracking_host: values.HostAndPath = Field(
        "mlflow-server.local",
        description="Host name of the tracking server, and a path if other programs share the "
        "host, such as example.com/mlflow.",
    )
    ingress_class: values.ClassName | None = Field(
        "nginx", description='Class of every Ingress. "" means the cluster\'s default.'
    )
    ingress_annotations: values.IngressAnnotations = Field(
        {},
        description="Annotations of every Ingress. They replace annotations of the stack that have "
        "the same name.",
    )
    ingress_wait_seconds: int = Field(
        0,
        ge=0,
        le=600,
        description="Seconds that `pulumi up` waits for the address of the ingress controller; 0 "
        "does not wait.",
    )
    ingress_namespace: values.ExistingNamespace = Field(
        "ingress-nginx",
        description="Namespace of the ingress controller. Its pods alone may reach the servers "
        "that have a host name.",
    )
    tls: Literal["none", "generated", "secret", "cert-manager", "gateway"] = Field(
        "none",
        description="Certificate of the host names. none means plain HTTP; gateway means the "
        "certificate of the Gateway's listener.",
    )
    tls_secret: values.TlsSecretName | None = Field(
        None,
        description="tls secret: Secret of the namespace, of type kubernetes.io/tls, with a "
        "certificate for every host name.",
    )
    tls_issuer: values.IssuerName | None = Field(
        None, description="tls cert-manager: name of the ClusterIssuer."
    )
    gateway: values.Gateway | None = Field(
        None,
        description="Gateway that publishes the host names instead of Ingresses, "
        "<namespace>/<name> or <namespace>/<name>/<listener>.",
    )


class Workspace(Group):
    """Workspace"""

    client_workspace: bool = Field(
        False,
        description="Whether the stack has a workspace: JupyterLab with MLflow's client, connected "
        "to the tracking server.",
    )
    workspace_host: values.HostName = Field(
        "mlflow-workspace.local", description="Host name of the workspace."
    )
    workspace_storage: values.VolumeSize = Field(
        _defaults.WORKSPACE_STORAGE,
        description="Size of the volume with the workspace's home folder.",
    )
    workspace_memory: values.WorkspaceMemory = Field(
        "2Gi", description="Memory request and limit of the workspace."
    )


class Pods(Group):
    """Pods"""

    pods: values.PodOptions = Field(
        {},
        description="What the platform demands of all pods of the stack, Jobs included: pull "
        "secrets, tolerations, labels and others, as Kubernetes' own JSON. See "
        "[What platforms demand of pods](#what-platforms-demand-of-pods).",
    )
    server_pods: values.PodOptions = Field(
        {},
        description="What the platform demands of the tracking server's pods and Jobs. These "
        "options are merged over those of pods.",
    )


class Images(Group):
    """Images"""

    image_registry: values.ImageRegistry | None = Field(
        None,
        description="Registry of every image whose name has no registry, such as "
        "registry.example.com/mirror.",
    )
    server_image: values.Image = Field(
        _defaults.SERVER_IMAGE,
        description="Image of the tracking server, built from images/mlflow.",
    )
    postgres_image: values.Image = Field(
        _defaults.POSTGRES_IMAGE,
        description="Image of PostgreSQL: the official image, or one that works the same way, of "
        "major version 18.",
    )
    patroni_image: values.Image = Field(
        _defaults.PATRONI_IMAGE,
        description="Image of PostgreSQL with Patroni, for databaseReplicas above 1, built from "
        "images/patroni on the image of postgresImage.",
    )
    postgres_former_image: values.Image | None = Field(
        None,
        description="Image of PostgreSQL's former major version, when `postgresImage` is of a "
        "newer one: the next `up` moves the data "
        "([moving data](moving-data.md#postgresqls-next-major-version)).",
    )
    mysql_image: values.Image = Field(
        _defaults.MYSQL_IMAGE,
        description="Image of MySQL: the official image, or one that works the same way, of "
        "version 9.7.",
    )
    rclone_image: values.Image = Field(
        _defaults.RCLONE_IMAGE,
        description="Image of rclone, which copies backups: the official image, or another one "
        "with the program at /usr/local/bin/rclone.",
    )
    workspace_image: values.Image = Field(
        _defaults.WORKSPACE_IMAGE,
        description="Image of the workspace, built from images/client, or another image with "
        "JupyterLab and MLflow.",
    )


class Cluster(Group):
    """Settings of Pulumi's Kubernetes provider that the program reads"""

    context: Annotated[str, Kind("a context", longest=values.LONGEST_FILE)] | None = Field(
        None,
        alias="kubernetes:context",
        description="Context of the kubeconfig; None means the current context.",
    )
    kubeconfig: Annotated[str, Kind("a kubeconfig", longest=values.LONGEST_FILE)] | None = Field(
        None,
        alias="kubernetes:kubeconfig",
        repr=False,
        description="Path or content of the kubeconfig that replaces kubectl's.",
    )


GROUPS: tuple[type[Group], ...] = (
    Stack,
    TrackingServer,
    Backups,
    Ingress,
    ExternalDatabase,
    CallsOut,
    Workspace,
    Pods,
    Images,
)
"""The groups, in the order of Pulumi.yaml and docs/settings.md."""


class SharedSettings(
    Cluster,
    Images,
    Pods,
    Workspace,
    CallsOut,
    ExternalDatabase,
    Ingress,
    Backups,
    TrackingServer,
    Stack,
):
    """The settings that every stack has, whatever its artifact store is."""

    @property
    def connections(self) -> int:
        """Number of connections that the stack may hold to the chosen backend store."""
        match self.backend_store:
            case "external":
                return self.database_connections or _defaults.EXTERNAL_CONNECTIONS
            case "postgres" | "mysql":
                return self.database_connections or _defaults.DATABASE_CONNECTIONS

    @property
    def tracking_path(self) -> str:
        """Path of the tracking server on its host, such as ``/mlflow``, or nothing."""
        _, slash, path = self.tracking_host.partition("/")
        return slash + path

    @property
    def store_clients(self) -> list[str]:
        """Namespaces whose pods reach the artifact store without the tracking server."""
        return self.client_namespaces if self.artifact_access == "direct" else []
