"""Rules between settings: each one yields a line for every setting that it refuses."""

from collections.abc import Callable, Iterator

import pulumi

from artifact_stores import CHOICES
from components._kubernetes.pod_json import camel_case, from_kubernetes
from components._kubernetes.pod_options import merged, mistakes
from components._kubernetes.uris import tls_conflict
from components.backend_stores._patroni import NUMBERS
from components.backend_stores._server import least_memory
from components.backend_stores.postgres import other_version
from components.tracking_server import pool_size
from settings import buckets
from settings.assembled import SETTINGS, Settings
from settings.declarations import Refuse
from settings.values import ROTATED, Rotated, mebibytes


def contradictions(settings: Settings, refuse: Refuse) -> list[str]:
    """Return a line for each setting that contradicts another one."""
    return [line for rule in _RULES for line in rule(settings, refuse)]


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
    try:
        auth = settings.auth == "basic"
        pool_size(settings.connections, settings.replicas, settings.workers, auth=auth)
    except pulumi.RunError as error:
        yield str(error)


def _networks(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse networks of servers outside the stack where the stack has no such server."""
    outside = (
        settings.backend_store == "external"
        or settings.store.outside
        or settings.backup_store == "s3"
    )
    if settings.external_networks and not outside:
        yield refuse(
            "externalNetworks",
            "nothing, unless backendStore, artifactStore or backupStore is outside the stack",
        )


def _database(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of a database that are missing, or given without need."""
    where = settings.given("databaseUri", "databaseSecret")
    if settings.backend_store != "postgres":
        for key in settings.given("postgresFormerImage"):
            yield refuse(key, "only with backendStore: postgres")
    if settings.backend_store == "external":
        for key in settings.given("databaseMemory"):
            yield refuse(key, "nothing with backendStore: external, which has a size of its own")
    if settings.backend_store != "external":
        accepted = "only with backendStore: external, or they are two databases at once"
        for key in [*where, *settings.given("authDatabaseUri", "databaseCa")]:
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
    for key in settings.given("postgresFormerImage"):
        yield refuse(
            key,
            f"nothing with databaseReplicas: {number}: the next major version takes a second stack",
        )
    if same := other_version(settings.postgres_image, settings.patroni_image):
        yield refuse("patroniImage", same)


def _artifact_stores(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse what is wrong with the chosen store, and settings of the other stores."""
    for name, choice in CHOICES.items():
        yield from choice.rules_of_all(settings, refuse)
        if choice is settings.store:
            yield from choice.rules(settings, refuse)
            continue
        for key in settings.given(*(one.key for one in choice.own if not one.default)):
            yield refuse(key, f"only with artifactStore: {name}, or they are two stores at once")


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


def _backups(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of backups that are missing, or have no effect."""
    key = ("backupAccessKeyId", "backupSecretAccessKey")
    if settings.backup_store == "s3":
        if not settings.backup_bucket:
            yield refuse("backupBucket", "with backupStore: s3, the name of a bucket that exists")
        half = settings.given(*key)
        if half and settings.backup_secret:
            yield refuse("backupSecret", f"nothing beside {half[0]}: one key is enough")
        elif half:
            yield from buckets.half_a_key(settings, refuse, *key)
        elif not settings.backup_secret:
            yield refuse(
                "backupAccessKeyId",
                "with backupStore: s3, an access key, or the name of a Secret in backupSecret",
            )
        yield from buckets.authority(settings, refuse, ca="backupCa", endpoint="backupEndpoint")
    else:
        keys = ("backupBucket", "backupPrefix", "backupEndpoint", "backupSecret", "backupCa", *key)
        for given in settings.given(*keys):
            yield refuse(given, "only with backupStore: s3")


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


def _certificate(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings of the certificate that are missing, or given without need."""
    for way, key, accepted in (
        ("secret", "tlsSecret", "the name of a Secret of type kubernetes.io/tls"),
        ("cert-manager", "tlsIssuer", "the name of a ClusterIssuer"),
    ):
        given = settings.given(key)
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
    proxies = settings.given("httpsProxy", "httpProxy")
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


def _rotation(settings: Settings, refuse: Refuse) -> Iterator[str]:
    """Refuse to rotate what this stack does not generate, or cannot replace without a gap."""
    needs: dict[Rotated, tuple[str, list[str], str]] = {
        "database": ("backendStore", ["postgres", "mysql"], settings.backend_store),
        "admin": ("auth", ["basic"], settings.auth),
    }
    for what in ROTATED:
        if stores := [name for name, choice in CHOICES.items() if what in choice.rotations]:
            needs[what] = ("artifactStore", stores, settings.artifact_store)
    for what in ROTATED:
        if what in needs and settings.rotation.get(what):
            key, needed, chosen = needs[what]
            if chosen not in needed:
                accepted = f"{what} only with {key}: {' or '.join(needed)}; see docs/rotation.md"
                yield refuse("rotation", accepted)


_RULES: tuple[Callable[[Settings, Refuse], Iterator[str]], ...] = (
    _host_names,
    _sizes,
    _networks,
    _database,
    _database_members,
    _artifact_stores,
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
