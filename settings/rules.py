"""Rules between settings: each one yields a line for every setting that it refuses."""

import re
from collections.abc import Callable, Iterator

import pulumi

from components._kubernetes.pod_json import camel_case, from_kubernetes
from components._kubernetes.pod_options import merged, mistakes
from components._kubernetes.uris import tls_conflict
from components.artifact_stores import minio
from components.backend_stores._patroni import NUMBERS
from components.backend_stores._server import least_memory
from components.backend_stores.postgres import other_version
from components.tracking_server import pool_size
from settings.schema import SETTINGS, Settings
from settings.values import Rotated, mebibytes

OUTSIDE = frozenset({"external", "s3", "existing-hdfs"})
"""The kinds of backends and stores that are outside the stack."""
Refuse = Callable[[str, str], str]
"""Returns the line for a setting, from its key and the accepted values. The line has the value."""


def contradictions(settings: Settings, refuse: Refuse) -> list[str]:
    """Return a line for each setting that contradicts another one."""
    return [line for rule in _RULES for line in rule(settings, refuse)]


def _given(settings: Settings, *keys: str) -> list[str]:
    """Return the keys whose settings have a value: not None, not empty, not false."""
    return [key for key in keys if getattr(settings, SETTINGS[key].attribute)]


def _host_names(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse a host name that two servers would share."""
    hosts = settings.hosts
    names = list(hosts)
    for index, key in enumerate(names):
        for other in names[:index]:
            if hosts[key] == hosts[other]:
                yield refuse(key, f"a name other than {other}'s")


def _sizes(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse sizes and numbers that contradict each other."""
    # Measured with 2 workers: 250 MiB at rest, 380 MiB after load, and 1.4 GB with job runners.
    needed = 128 + 128 * settings.workers + (1536 if settings.job_execution else 0)
    if mebibytes(settings.server_memory) < needed:
        jobs = str(settings.job_execution).lower()
        yield refuse(
            "serverMemory",
            f"{needed}Mi or more with workers: {settings.workers} and jobExecution: {jobs}",
        )
    least = least_memory(settings.connections)
    memory = settings.database_memory or "1Gi"
    if settings.backend_store != "external" and mebibytes(memory) < least:
        yield refuse("databaseMemory", f"{least}Mi or more with {settings.connections} connections")
    if settings.hdfs_replication > settings.hdfs_data_nodes:
        yield refuse(
            "hdfsReplication", f"hdfsDataNodes, which is {settings.hdfs_data_nodes}, or less"
        )
    try:
        auth = settings.auth == "basic"
        pool_size(settings.connections, settings.replicas, settings.workers, auth=auth)
    except pulumi.RunError as error:
        yield str(error)


def _networks(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse networks of servers outside the stack where the stack has no such server."""
    stores = (settings.backend_store, settings.artifact_store, settings.backup_store)
    if settings.external_networks and OUTSIDE.isdisjoint(stores):
        yield refuse(
            "externalNetworks",
            "nothing, unless backendStore, artifactStore or backupStore is outside the stack",
        )


def _database(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of a database that are missing, or given without need."""
    where = _given(settings, "databaseUri", "databaseSecret")
    if settings.backend_store != "postgres":
        for key in _given(settings, "postgresFormerImage"):
            yield refuse(key, "only with backendStore: postgres")
    if settings.backend_store == "external":
        for key in _given(settings, "databaseMemory"):
            yield refuse(key, "nothing with backendStore: external, which has a size of its own")
    if settings.backend_store != "external":
        accepted = "only with backendStore: external, or they are two databases at once"
        for key in [*where, *_given(settings, "authDatabaseUri", "databaseCa")]:
            yield refuse(key, accepted)
    elif not where:
        yield refuse("databaseUri", "an address, or a Secret's name in databaseSecret")
    elif len(where) > 1:
        yield refuse("databaseSecret", "nothing beside databaseUri: two databases at once")
    else:
        yield from _database_of_users(settings, refuse)
        yield from _database_authority(settings, refuse)


def _database_members(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse several members where there is no server of the stack's own that can have them."""
    number = settings.database_replicas
    if number == 1:
        return
    if settings.backend_store != "postgres":
        yield refuse("databaseReplicas", "1, unless backendStore is postgres")
        return
    if number not in NUMBERS:
        accepted = " or ".join(map(str, NUMBERS))
        yield refuse("databaseReplicas", f"{accepted}: most of the members have to be left")
    if settings.backup_point_in_time:
        yield refuse(
            "backupPointInTime",
            f"false with databaseReplicas: {number}: each new primary begins another history of "
            "the log, and the archive has one",
        )
    for key in _given(settings, "postgresFormerImage"):
        yield refuse(
            key,
            f"nothing with databaseReplicas: {number}: the next major version takes a second stack",
        )
    if same := other_version(settings.postgres_image, settings.patroni_image):
        yield refuse("patroniImage", same)


def _artifact_servers(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse several servers where MinIO is not the store, and numbers that MinIO does not take."""
    number = settings.artifact_replicas
    if number > 1 and settings.artifact_store != "minio":
        yield refuse("artifactReplicas", "1, unless artifactStore is minio")
    elif number not in minio.NUMBERS:
        yield refuse("artifactReplicas", minio.NUMBERS_IN_WORDS)


def _database_of_users(settings: Settings, refuse: Refuse) -> Iterator[str]:
    users = settings.auth_database_uri
    if settings.auth == "none" and users:
        yield refuse("authDatabaseUri", "nothing with auth: none, which has no users")
    elif settings.database_secret and users:
        yield refuse(
            "authDatabaseUri",
            "nothing beside databaseSecret, whose key MLFLOW_AUTH_DATABASE_URI is read",
        )
    elif settings.auth == "basic" and not (users or settings.database_secret):
        yield refuse(
            "authDatabaseUri",
            "the address of a database for users, which may be databaseUri's; or auth: none",
        )


def _database_authority(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse an address whose options contradict the given authority."""
    for key, address in (
        ("databaseUri", settings.database_uri),
        ("authDatabaseUri", settings.auth_database_uri),
    ):
        if settings.database_ca and address and (conflict := tls_conflict(address)):
            yield refuse(key, f"beside databaseCa, an address without {conflict}")


def _existing_hdfs(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of an existing HDFS that are missing, or given without need."""
    keys = ("hdfsUri", "hdfsConfiguration", "hdfsHostAliases", "hdfsKerberosSecret")
    if settings.artifact_store != "existing-hdfs":
        accepted = "only with artifactStore: existing-hdfs, or they are two stores at once"
        for key in _given(settings, *keys):
            yield refuse(key, accepted)
        return
    if not settings.hdfs_uri:
        yield refuse("hdfsUri", "with artifactStore: existing-hdfs, the address of a folder")
        return
    # A host without a port is a nameservice, whose name is in the names of its properties.
    name = re.fullmatch(r"hdfs://([^/:]+)/.*", settings.hdfs_uri)
    if name and not any(name[1] in key.split(".") for key in settings.hdfs_configuration):
        yield refuse(
            "hdfsUri", "a host with its port, or a nameservice that hdfsConfiguration describes"
        )


def _bucket(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of an existing bucket that are missing, or given without need."""
    parts = ("s3AccessKeyId", "s3SecretAccessKey")
    ways = ("s3Secret", "s3ServiceAccount")
    if settings.artifact_store != "s3":
        accepted = "only with artifactStore: s3, or they are two stores at once"
        for key in _given(settings, "s3Bucket", "s3Endpoint", "s3Prefix", "s3Ca", *parts, *ways):
            yield refuse(key, accepted)
        return
    if not settings.s3_bucket:
        yield refuse("s3Bucket", "with artifactStore: s3, the name of a bucket that exists")
    half = _given(settings, *parts)
    if len(half) == 1:
        (lacking,) = set(parts) - {*half}
        yield refuse(lacking, f"the other half of {half[0]}")
    keys = [*half[:1], *_given(settings, *ways)]
    for key in keys[1:]:
        yield refuse(key, f"nothing beside {keys[0]}: one key is enough")
    if settings.s3_ca and not (settings.s3_endpoint or "").startswith("https://"):
        yield refuse("s3Ca", "nothing, unless s3Endpoint is an https:// address")


def _backups(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of backups that are missing, or have no effect."""
    key = ("backupAccessKeyId", "backupSecretAccessKey")
    if settings.backup_store == "s3":
        if not settings.backup_bucket:
            yield refuse("backupBucket", "with backupStore: s3, the name of a bucket that exists")
        half = _given(settings, *key)
        if half and settings.backup_secret:
            yield refuse("backupSecret", f"nothing beside {half[0]}: one key is enough")
        elif len(half) == 1:
            (lacking,) = set(key) - {*half}
            yield refuse(lacking, f"the other half of {half[0]}")
        elif not half and not settings.backup_secret:
            yield refuse(
                "backupAccessKeyId",
                "with backupStore: s3, an access key, or the name of a Secret in backupSecret",
            )
        if settings.backup_ca and not (settings.backup_endpoint or "").startswith("https://"):
            yield refuse("backupCa", "nothing, unless backupEndpoint is an https:// address")
        if _backs_up_itself(settings):
            yield refuse("backupPrefix", "a folder outside of the artifact store's, s3Prefix")
    else:
        keys = ("backupBucket", "backupPrefix", "backupEndpoint", "backupSecret", "backupCa", *key)
        for given in _given(settings, *keys):
            yield refuse(given, "only with backupStore: s3")
    if settings.hdfs_kerberos_secret:
        if settings.backup_schedule and settings.backup_artifacts:
            yield refuse(
                "backupArtifacts",
                "false with hdfsKerberosSecret: rclone gets no Kerberos ticket here",
            )
        if settings.backup_store == "artifacts":
            yield refuse("backupStore", "volume or s3 with hdfsKerberosSecret")


def _point_in_time(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse an archive of the WAL where there is no WAL, or no place that takes it."""
    if not settings.backup_point_in_time:
        return
    if settings.backend_store != "postgres":
        yield refuse("backupPointInTime", "true only with backendStore: postgres")
    if settings.backup_store == "volume":
        yield refuse("backupPointInTime", "true only with backupStore: s3 or artifacts")
    if not settings.backup_schedule:
        yield refuse(
            "backupPointInTime",
            "true only with backupSchedule: recovery begins at a backup, and a backup removes what"
            " is too old",
        )


def _backs_up_itself(settings: Settings) -> bool:
    """Return whether the folder of the backups is in the bucket's folder of artifacts."""
    artifacts = (settings.artifact_store, settings.s3_bucket, settings.s3_endpoint)
    if artifacts != ("s3", settings.backup_bucket, settings.backup_endpoint):
        return False
    folder = f"{settings.s3_prefix}/" if settings.s3_prefix else ""
    return f"{settings.backup_prefix or ''}/".startswith(folder)


def _certificate(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of the certificate that are missing, or given without need."""
    for way, key, accepted in (
        ("secret", "tlsSecret", "the name of a Secret of type kubernetes.io/tls"),
        ("cert-manager", "tlsIssuer", "the name of a ClusterIssuer"),
    ):
        given = _given(settings, key)
        if given and settings.tls != way:
            yield refuse(key, f"only with tls: {way}")
        if not given and settings.tls == way:
            yield refuse(key, f"with tls: {way}, {accepted}")


def _gateway(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings that contradict the Gateway, or its absence."""
    if settings.gateway:
        if settings.tls not in ("none", "gateway"):
            yield refuse(
                "tls", "none or gateway, where a gateway is set: its listener has the certificate"
            )
        if settings.ingress_annotations:
            yield refuse("ingressAnnotations", "nothing beside gateway: there is no Ingress")
        # The default would keep the Gateway's pods out, and every request would hang.
        if settings.ingress_namespace == SETTINGS["ingressNamespace"].default:
            yield refuse(
                "ingressNamespace", "with gateway, the namespace of the Gateway's own pods"
            )
    # A route without a listener's name is served by all listeners, the one for plain HTTP too.
    if settings.tls == "gateway" and (settings.gateway or "").count("/") < 2:
        yield refuse(
            "gateway",
            "with tls: gateway, <namespace>/<name>/<listener>, the listener that has TLS",
        )


def _annotations(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse annotations of the Ingresses that contradict another setting."""
    names = {key.rpartition("/")[2] for key in settings.ingress_annotations}
    if settings.ingress_class and "kubernetes.io/ingress.class" in settings.ingress_annotations:
        yield refuse(
            "ingressAnnotations",
            "no kubernetes.io/ingress.class beside ingressClass: Kubernetes takes one of both",
        )
    if settings.auth == "basic" and "auth-type" in names:
        yield refuse(
            "ingressAnnotations",
            "no auth-type with auth: basic: a request has one user and password",
        )


def _calls_out(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of outgoing calls that have no effect."""
    proxies = _given(settings, "httpsProxy", "httpProxy")
    if not settings.egress:
        for key in proxies:
            yield refuse(key, "beside it, a way to the proxy in egress")
    if settings.no_proxy and not proxies:
        yield refuse("noProxy", "nothing without httpsProxy or httpProxy")
    if settings.egress_ca and not (settings.egress or settings.job_execution):
        yield refuse("egressCa", "nothing without egress: no call goes out")


def _jobs(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse several pods with job runners, because each pod would have a queue of its own."""
    if settings.job_execution and settings.replicas > 1:
        yield refuse(
            "replicas",
            "1 with jobExecution: true, whose queue is in the pod; more workers are accepted",
        )
    if settings.job_execution and settings.autoscaled:
        yield refuse("autoscaled", "false with jobExecution: true, whose queue is in the pod")


def _pods(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse options of the tracking server's pods that contradict other settings."""
    both = merged(from_kubernetes(settings.pods), from_kubernetes(settings.server_pods))
    for mistake in mistakes(both, camel_case):
        yield refuse("serverPods", f"beside pods, in {mistake.where}, {mistake.accepted}")
    if settings.s3_service_account and both.get("service_account_annotations"):
        yield refuse(
            "s3ServiceAccount", "nothing beside serviceAccountAnnotations in pods or serverPods"
        )


def _rotation(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse to rotate what this stack does not generate, or cannot replace without a gap."""
    needs: dict[Rotated, tuple[str, tuple[str, ...], str]] = {
        "database": ("backendStore", ("postgres", "mysql"), settings.backend_store),
        "store": ("artifactStore", ("minio",), settings.artifact_store),
        "storeRoot": ("artifactStore", ("minio",), settings.artifact_store),
        "admin": ("auth", ("basic",), settings.auth),
    }
    for name, (key, needed, chosen) in needs.items():
        if settings.rotation.get(name) and chosen not in needed:
            words = " or ".join(needed)
            yield refuse("rotation", f"{name} only with {key}: {words}; see docs/rotation.md")


_RULES: tuple[Callable[[Settings, Refuse], Iterator[str]], ...] = (
    _host_names,
    _sizes,
    _networks,
    _database,
    _database_members,
    _artifact_servers,
    _existing_hdfs,
    _bucket,
    _backups,
    _point_in_time,
    _certificate,
    _gateway,
    _annotations,
    _calls_out,
    _jobs,
    _pods,
    _rotation,
)
