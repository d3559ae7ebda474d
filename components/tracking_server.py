"""The MLflow tracking server: migrated once, then rolled out, and published under one host name."""

from dataclasses import dataclass
from typing import NotRequired, Self, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from ._component import Component
from ._defaults import NAMESPACE, SERVER_IMAGE
from ._egress import (
    INTERNET_NAME,
    EgressArgs,
    Way,
    egress_credentials,
    egress_environment,
    ways_out,
)
from ._kubernetes.arguments import applied, known_keys, recorded
from ._kubernetes.availability import apart, one_away_at_most
from ._kubernetes.labels import labels, metadata, selector
from ._kubernetes.network_policies import Path, after, client_labels, namespaces, server_policies
from ._kubernetes.pod_options import PodArgs, PodOptions, pod_options
from ._kubernetes.pods import (
    SERVER_USER,
    Credentials,
    http_probe,
    pod_labels,
    python_template,
    resources,
    restarts_with,
    restricted_pod,
)
from ._kubernetes.publishing import IngressArgs, from_ingress, public_url, publish
from ._kubernetes.retention import RetentionArgs
from ._kubernetes.uris import service_host
from ._login import ADMIN, Login
from ._migration import Dumps, Migration, last_upgrade, migration
from ._restoration import restoration
from .contracts import (
    ArtifactStoreInput,
    BackendStoreInput,
    BackupsInput,
    BackupTarget,
    output_of,
)

PORT = 5000
HOST = "mlflow-server.local"
_MODEL_SOURCES = "^(runs|models|mlflow-artifacts):|^(dummy-source|prompt-template)$"
"""What a model's version may be made of; the last two stand for prompts, which have no files."""
# RFC 1918 and RFC 4193, and loopback.
_PRIVATE = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
GC_SECONDS = 6 * 3600
"""How long a collection may take: each run is some requests to the store."""


class TrackingServerArgs(TypedDict):
    """Inputs of :class:`TrackingServer`."""

    backend_store: BackendStoreInput
    """Where runs are kept: a component of ``backend_stores``. Required: it is their only place."""
    artifact_store: ArtifactStoreInput
    """Where artifacts are kept: a component of ``artifact_stores``. Required: it is their only
    place."""
    direct_artifact_access: NotRequired[bool]
    """Whether clients read and write artifacts in the store themselves. Defaults to ``False``:
    the server does it, and clients need no key of the store."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    image: NotRequired[pulumi.Input[str]]
    """Image of the server. Defaults to the one that images/mlflow builds."""
    host: NotRequired[str]
    """Host name on the ingress. Defaults to ``mlflow-server.local``."""
    path: NotRequired[str]
    """Path of the host that is the server's, such as ``/mlflow``. Defaults to all of them."""
    replicas: NotRequired[int]
    """Number of pods, or the most of them. Defaults to 1."""
    autoscaled: NotRequired[bool]
    """Whether an autoscaler decides the number of pods, up to ``replicas``, which is where a new
    server begins. Defaults to ``False``."""
    workers: NotRequired[int]
    """Server processes in each pod. Defaults to 2."""
    memory: NotRequired[pulumi.Input[str]]
    """Memory of each pod, as a Kubernetes quantity. Defaults to ``1Gi``: a pod of two workers
    takes 380 MiB under load."""
    auth: NotRequired[bool]
    """Whether clients need a user's name and password. Defaults to ``True``."""
    users: NotRequired[list[str]]
    """Names of users with a generated password, beside the admin. Defaults to none."""
    job_execution: NotRequired[bool]
    """Whether MLflow's own job runners run, of which there may be one pod. Defaults to ``False``:
    they take 1.4 GB."""
    egress: NotRequired[EgressArgs]
    """Where the server's calls may go beside its backends. Defaults to nowhere, but to the
    internet by HTTPS with ``job_execution``."""
    allowed_hosts: NotRequired[list[str]]
    """More Host headers to answer, beside those derived here. Defaults to none."""
    ingress: NotRequired[IngressArgs]
    """How the host name is published. Defaults to the cluster's default ingress class."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods reach the server past the ingress. Defaults to none."""
    gc_schedule: NotRequired[str | None]
    """When what was deleted is removed for good, as a cron expression in UTC. Defaults to never:
    the CronJob is there, and suspended."""
    gc_older_than: NotRequired[str]
    """How long ago it must have been deleted, such as ``30d``. Defaults to ``30d``."""
    backups: NotRequired[BackupsInput | None]
    """Backups, which can be restored, and into which the databases are dumped before their tables
    are upgraded. Defaults to none: an upgrade stops the servers, and dumps nothing."""
    point_in_time: NotRequired[bool]
    """Whether the restore brings back moments between two backups, which ``backups`` must archive:
    the input of the same name of :class:`Backups`. Defaults to ``False``."""
    retention: NotRequired[RetentionArgs]
    """What becomes of generated passwords: ``StackNamespace.retention``. Defaults to: Pulumi may
    delete them."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. A pod that reaches a store with a
    service account runs under that account, and not under one of ``pods``. Defaults to nothing."""


class TrackingServer(Component):
    """MLflow's server, with artifacts proxied, so that a client needs one URI and no store key."""

    tracking_uri: pulumi.Output[str]
    """Where clients outside the cluster find it."""
    tracking_uri_in_cluster: pulumi.Output[str]
    """Where pods find it, from any namespace."""
    auth: bool
    """Whether clients need a user's name and password."""
    logins: dict[str, Credentials]
    """A Secret with ``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_PASSWORD`` and
    ``MLFLOW_EXPERIMENT_NAME`` for each of the users asked for; none where there is no login."""
    client_env: pulumi.Output[dict[str, str]]
    """The environment of a client outside the cluster, as the admin: secret."""
    add_user: pulumi.Output[str]
    """What kubectl is told to make a user, and to print the environment of that user's client; the
    user's name is to be added."""
    address: pulumi.Output[str]
    """Address that the ingress controller published; empty when it was not waited for."""
    client_labels: dict[str, str]
    """Labels with which a pod of the server's own namespace reaches it, and nothing else."""
    last_upgrade: pulumi.Output[dict[str, str]]
    """What is known of the last upgrade of MLflow's tables: ``from_image``, ``to_image``,
    ``stopped`` and ``migrated`` (times in UTC), ``dump`` (name of the backup made before; empty if
    none was) and ``state``; empty before the first one."""

    def __init__(
        self, name: str, args: TrackingServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        server = _Server.of(name, args)
        super().__init__("TrackingServer", name, _recorded(args), opts)
        child = pulumi.ResourceOptions(parent=self)
        pods = pod_options(
            name,
            args.get("pods"),
            namespace=server.namespace,
            labels=server.labels,
            opts=child,
        )

        users = [ADMIN, *server.users] if server.auth else []
        login = Login(name, server.namespace, users, server.retention, child)
        proxies = egress_credentials(
            name,
            server.egress,
            namespace=server.namespace,
            retention=server.retention,
            opts=child,
        )
        backends = [server.database, server.artifacts, login.keys, *proxies]
        migrated = _migrated(server, pods, login, child)
        service = _service(server, child)
        one_away_at_most(
            name,
            server.replicas,
            namespace=server.namespace,
            labels=server.labels,
            picked=server.selector,
            opts=child,
        )
        protected = after(_policies(server, child), migrated.job)
        deployment = _deployment(server, pods, backends, protected)
        _collection(server, pods, child)
        _restoration(server, pods, login, child)
        self.address = publish(
            name,
            server.ingress,
            namespace=server.namespace,
            labels=server.labels,
            host=server.host,
            path=server.path,
            service=service.metadata.name,
            port=PORT,
            opts=after(child, deployment),
        )

        self.client_labels = client_labels(name)
        self.tracking_uri = pulumi.Output.from_input(
            public_url(server.ingress, server.host) + server.path
        )
        self.tracking_uri_in_cluster = service.metadata.namespace.apply(
            lambda ns: f"http://{service_host(name, ns)}:{PORT}"
        )
        self.last_upgrade = last_upgrade(migrated, deployment, self)
        self.auth = server.auth
        self.logins = {user: login.credentials(user) for user in server.users if server.auth}
        self.client_env = _client_env(server, login, self.tracking_uri)
        self.add_user = _add_user(name, service.metadata.namespace, self.tracking_uri)
        self.register_outputs(
            {
                "tracking_uri": self.tracking_uri,
                "tracking_uri_in_cluster": self.tracking_uri_in_cluster,
                "auth": self.auth,
                "logins": self.logins,
                "client_env": self.client_env,
                "add_user": self.add_user,
                "address": self.address,
                "client_labels": self.client_labels,
                "last_upgrade": self.last_upgrade,
            }
        )

    @staticmethod
    def deployment(name: str) -> str:
        """Return the logical name of the Deployment of the component ``name``.

        The Deployment is made after the stores. So a stack has data in its stores only where its
        state has the Deployment.
        """
        return f"{name}-server"


@dataclass(frozen=True)
class _Server:
    """The inputs, with their defaults, and the facts of the stores."""

    name: str
    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    host: str
    path: str
    database: pulumi.Input[Credentials]
    connections: pulumi.Input[int]
    client_image: pulumi.Input[str] | None
    artifacts: pulumi.Input[Credentials]
    artifact_root: pulumi.Input[str] | None
    """Where clients write artifacts themselves; None where the server does it."""
    client_env: pulumi.Input[dict[str, str]]
    """Variables that such clients need."""
    replicas: int
    autoscaled: bool
    workers: int
    memory: pulumi.Input[str]
    auth: bool
    users: list[str]
    job_execution: bool
    egress: EgressArgs
    allowed_hosts: list[str]
    ingress: IngressArgs
    client_namespaces: list[str]
    gc_schedule: str | None
    gc_older_than: str
    backup_target: pulumi.Input[BackupTarget] | None
    point_in_time: bool
    retention: RetentionArgs

    @classmethod
    def of(cls, name: str, args: TrackingServerArgs) -> Self:
        """Return the inputs of the component ``name``.

        Raises:
            pulumi.RunError: if there is an unknown input, or two that exclude each other.
        """
        known_keys(name, args, TrackingServerArgs)
        known_keys(f"{name}.egress", args.get("egress", {}), EgressArgs)
        if args.get("job_execution") and (args.get("replicas", 1) > 1 or args.get("autoscaled")):
            raise pulumi.RunError(f"{name}.job_execution: expected 1 replica, and no autoscaler")
        database, artifacts = args["backend_store"], args["artifact_store"]
        direct, backups = args.get("direct_artifact_access", False), args.get("backups")
        return cls(
            name=name,
            namespace=args.get("namespace", NAMESPACE),
            image=args.get("image", SERVER_IMAGE),
            host=args.get("host", HOST),
            path=args.get("path", ""),
            database=output_of(database, "credentials"),
            connections=output_of(database, "connections"),
            client_image=output_of(database, "client_image"),
            artifacts=output_of(artifacts, "credentials"),
            artifact_root=output_of(artifacts, "artifact_root") if direct else None,
            client_env=output_of(artifacts, "client_env") if direct else {},
            replicas=args.get("replicas", 1),
            autoscaled=args.get("autoscaled", False),
            workers=args.get("workers", 2),
            memory=args.get("memory", "1Gi"),
            auth=args.get("auth", True),
            users=args.get("users", []),
            job_execution=args.get("job_execution", False),
            egress=args.get("egress", {}),
            allowed_hosts=args.get("allowed_hosts", []),
            ingress=args.get("ingress", {}),
            client_namespaces=args.get("client_namespaces", []),
            gc_schedule=args.get("gc_schedule"),
            gc_older_than=args.get("gc_older_than", "30d"),
            backup_target=output_of(backups, "target") if backups else None,
            point_in_time=args.get("point_in_time", False),
            retention=args.get("retention", {}),
        )

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the server's objects."""
        return labels(self.name, "mlflow", "tracking-server")

    @property
    def selector(self) -> dict[str, str]:
        """The labels that pick the server's pods."""
        return selector(self.name, "mlflow")

    @property
    def ways(self) -> list[Way]:
        """The ways out of the server's pod."""
        # Scorers ask language models, which seldom run next door.
        scorers = [INTERNET_NAME] if self.job_execution else []
        return ways_out([*self.egress.get("ways", []), *scorers])

    @property
    def root_environment(self) -> dict[str, pulumi.Input[str]]:
        """The variable by which experiments are made with the address of their artifacts."""
        # New experiments point here; the server itself reads it as before, for its pages.
        return {"MLFLOW_DEFAULT_ARTIFACT_ROOT": self.artifact_root} if self.artifact_root else {}


def _recorded(args: TrackingServerArgs) -> dict[str, object]:
    """Return the inputs as Pulumi keeps them in its state, without the stores and the backups.

    A child waits until all inputs of its parent are known. The outputs of a store are known when
    the store is ready, and the Service, the Secrets and the policies can be there by then.
    """
    known = {**args, "egress": recorded(args.get("egress", {}), "https_proxy", "http_proxy")}
    return {
        key: value
        for key, value in known.items()
        if key not in ("backend_store", "artifact_store", "backups")
    }


def _add_user(
    name: str, namespace: pulumi.Output[str], tracking_uri: pulumi.Output[str]
) -> pulumi.Output[str]:
    """Return the arguments of `kubectl` that add a user, but for the user's name."""
    return pulumi.Output.concat(
        "exec --namespace=",
        namespace,
        f" deployment/{name} -- python -m mlflow_kubernetes.users ",
        tracking_uri,
    )


def _client_env(
    server: _Server, login: Login, tracking_uri: pulumi.Input[str]
) -> pulumi.Output[dict[str, str]]:
    """Return the environment of a client outside the cluster, as the admin."""
    of_server = {"MLFLOW_TRACKING_URI": tracking_uri}
    of_user = login.variables(ADMIN) if server.auth else {}
    return pulumi.Output.secret(
        pulumi.Output.all(of_server, of_user, server.client_env).apply(
            lambda known: {**known[0], **known[1], **known[2]}
        )
    )


def _migrated(
    server: _Server, pods: PodOptions, login: Login, opts: pulumi.ResourceOptions
) -> Migration:
    """Make the Job that creates or upgrades the tables, before any server starts."""
    dumps = None
    if server.backup_target is not None and server.client_image is not None:
        # With the artifact store among them, no upgrade begins before that store is up and checked.
        more = [login.keys, server.artifacts]
        dumps = Dumps(server.backup_target, server.client_image, more)
    return migration(
        server.name,
        namespace=server.namespace,
        image=server.image,
        pods=pods,
        backends=[server.database, *login.passwords],
        dumps=dumps,
        environment=server.root_environment,
        autoscaled=server.autoscaled,
        opts=opts,
    )


def _service(server: _Server, opts: pulumi.ResourceOptions) -> k8s.core.v1.Service:
    """Make the Service of the server's pods."""
    return k8s.core.v1.Service(
        f"{server.name}-service",
        metadata=metadata(
            server.name,
            server.namespace,
            server.labels,
            # Pulumi would wait for its pods, which are made later; see _kubernetes/data_server.py.
            {"pulumi.com/skipAwait": "true"},
        ),
        spec=k8s.core.v1.ServiceSpecArgs(
            selector=server.selector,
            ports=[k8s.core.v1.ServicePortArgs(name="http", port=PORT, target_port="http")],
        ),
        opts=opts,
    )


def _policies(server: _Server, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Make the network policies of the server; return options of objects that come after them."""
    return server_policies(
        server.name,
        namespace=server.namespace,
        labels=server.labels,
        applies_to=server.selector,
        port=PORT,
        ingress=[
            from_ingress(server.ingress, PORT),
            Path(namespaces(server.client_namespaces), tcp=[PORT]),
        ],
        egress=[way.path for way in server.ways],
        opts=opts,
    )


def _deployment(
    server: _Server,
    pods: PodOptions,
    backends: list[pulumi.Input[Credentials]],
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.Deployment:
    """Make the Deployment of the server's pods, which reach ``backends``."""
    return k8s.apps.v1.Deployment(
        TrackingServer.deployment(server.name),
        metadata=metadata(server.name, server.namespace, server.labels),
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=server.replicas,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=server.selector),
            strategy=_strategy(server),
            template=pods.on_server(
                k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        labels=pod_labels(server.labels, backends),
                        annotations=restarts_with(*backends),
                    ),
                    spec=_pod(server, backends),
                )
            ),
        ),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m"),
                ignore_changes=["spec.replicas"] if server.autoscaled else None,
            ),
        ),
    )


def pool_size(connections: int, replicas: int, workers: int, *, auth: bool) -> int:
    """Return the size of one SQLAlchemy pool, so that all of them fit into ``connections``.

    Each of the workers, and MLflow's own process before them, keeps a pool for each of the tracking
    and the registry store (mlflow/store/db/utils.py), and with ``auth`` one for users; each may
    overflow by one; and a rolling update runs one pod more. Once MLflow's own process is gone, its
    share is for workers that are asked whether they are ready. More than 20 in a pool is never
    used: a worker has 40 threads at most, which wait for the database far less than half of their
    time.

    Raises:
        pulumi.RunError: if not even a pool of one fits.
    """
    pools = (3 if auth else 2) * (workers + 1) * (replicas + 1)
    size = min(connections // pools - 1, 20)
    if size < 1:
        raise pulumi.RunError(
            f"replicas: {replicas} with workers: {workers} need {2 * pools} database connections "
            f"at least; accepted: as many as {connections} allow"
        )
    return size


def allowed_hosts(name: str, namespace: str, host: str, more: list[str]) -> list[str]:
    """Return the names, addresses and networks under which the server is legitimately asked.

    images/mlflow (hosts.py) compares them with the Host header, at any port. With only the ingress
    host, every pod would be refused (mlflow/mlflow#22095). Prometheus uses pods' addresses, and
    NodePorts are asked at a node's: both are in private networks.
    """
    service = [name, f"{name}.{namespace}", f"{name}.{namespace}.svc"]
    service.append(f"{service[-1]}.cluster.local")
    return [host, *service, "localhost", *_PRIVATE, *more]


def allowed_origins(host: str, ingress: IngressArgs) -> list[str]:
    """Return the origins whose pages may change things; MLflow adds localhost by itself."""
    # Without TLS of ours there may be somebody else's in front. With it, a page that came by plain
    # HTTP is nobody's: what we serve there is a redirect.
    return sorted({public_url(ingress, host), f"https://{host}"})


def _strategy(server: _Server) -> k8s.apps.v1.DeploymentStrategyArgs:
    """Return how an update replaces pods."""
    if server.job_execution:
        # Each pod has a queue of its own, and a new pod takes up every job that is not done: beside
        # an old pod it would run the old pod's jobs a second time (mlflow/server/jobs/utils.py).
        return k8s.apps.v1.DeploymentStrategyArgs(type="Recreate")
    # A new pod is ready before an old one goes: an update is not an outage.
    return k8s.apps.v1.DeploymentStrategyArgs(
        rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
    )


def _pod(server: _Server, backends: list[pulumi.Input[Credentials]]) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of the server."""
    pool = applied(
        server.connections,
        lambda known: str(pool_size(int(known), server.replicas, server.workers, auth=server.auth)),
    )
    hosts = pulumi.Output.from_input(server.namespace).apply(
        lambda ns: ",".join(allowed_hosts(server.name, ns, server.host, server.allowed_hosts))
    )
    environment: dict[str, pulumi.Input[str]] = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": hosts,
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
            allowed_origins(server.host, server.ingress)
        ),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": str(server.job_execution).lower(),
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": pool,
        # MLflow reads 0 as "not set", which means 10 (mlflow/store/db/utils.py).
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "1",
        # By default uvicorn closes an idle connection after 5 s. nginx keeps one for 60 s, Traefik
        # for up to 90 s, and neither may repeat a POST that meets a closing connection: 502.
        "MLFLOW_UVICORN_OPTS": "--timeout-keep-alive=100",
        # Nothing that people log here is for others to count.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HOME": "/tmp",  # noqa: S108 (in the pod)
        **egress_environment(server.ways),
    }
    if server.path:
        environment["PUBLIC_PATH"] = server.path
    environment |= server.root_environment
    if server.auth and not server.artifact_root:
        # MLflow compares these with what their user may read, and reads all else with the server's
        # key: the files of any run. (images/mlflow, locations.py, has the like for experiments.)
        environment["MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"] = _MODEL_SOURCES
    if server.job_execution:
        # What MLflow would tell its jobs, 0.0.0.0, is no name that it answers to itself.
        environment["MLFLOW_GATEWAY_URI"] = f"http://localhost:{PORT}"
    if (INTERNET_NAME, 443) not in server.ways:
        # No newer list of language models than MLflow's own: it would ask the internet, which is
        # closed to it, and keep its user waiting for minutes.
        environment["MLFLOW_MODEL_CATALOG_URI"] = ""
    container = k8s.core.v1.ContainerArgs(
        name="mlflow",
        image=server.image,
        # `mlflow server` with workers that share memory: a half of it, and a start in a third of
        # the time (images/mlflow). The stores come from the environment alone: an argument could
        # be read by anyone who may list pods. Artifacts are proxied because a destination is set.
        command=["python", "-m", "mlflow_kubernetes.serve"],
        args=[
            "--host=0.0.0.0",
            f"--port={PORT}",
            f"--workers={server.workers}",
            *(["--app-name=basic-auth"] if server.auth else []),
        ],
        env=[k8s.core.v1.EnvVarArgs(name=key, value=value) for key, value in environment.items()],
        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=PORT)],
        # MLflow's imports take their time: 19 to 31 s on a busy machine of two cores.
        startup_probe=_probe("/health", period=1, failures=240),
        # /health never looks at the database; this does (images/mlflow, probes.py).
        readiness_probe=_probe("/health/ready", period=5, failures=2),
        # A dead database must not restart servers: they recover by themselves.
        liveness_probe=_probe("/health", period=10, failures=6),
        # Endpoints are withdrawn while it sleeps, so nobody is sent to a closed socket.
        lifecycle=k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(sleep=k8s.core.v1.SleepActionArgs(seconds=5))
        ),
        # Python's lock leaves one processor to a worker's code; another moves its bytes. Scratch is
        # for attachments of traces and for what MLflow's jobs fetch.
        resources=resources(
            "250m",
            server.memory,
            most_cpu=str(2 * server.workers),
            most_scratch="16Gi",
        ),
    )
    # An upload under way is given its time; the sleep above is part of it.
    pod = restricted_pod(
        container,
        user=SERVER_USER,
        backends=backends,
        grace_seconds=60,
    )
    pod.affinity = apart(server.selector)
    return pod


def _collection(server: _Server, pods: PodOptions, opts: pulumi.ResourceOptions) -> None:
    """Make the CronJob that removes for good what was deleted; people make Jobs of it, too."""
    name = f"{server.name}-gc"
    worn = labels(name, "mlflow", "gc")
    k8s.batch.v1.CronJob(
        name,
        metadata=metadata(name, server.namespace, worn),
        spec=k8s.batch.v1.CronJobSpecArgs(
            # Kubernetes demands a schedule, also where it is suspended.
            schedule=server.gc_schedule or "0 3 * * *",
            suspend=not server.gc_schedule,
            time_zone="Etc/UTC",
            concurrency_policy="Forbid",
            # One that was missed, as while a laptop slept, runs within the next hour or not at all.
            starting_deadline_seconds=3600,
            successful_jobs_history_limit=1,
            failed_jobs_history_limit=1,
            job_template=k8s.batch.v1.JobTemplateSpecArgs(
                spec=k8s.batch.v1.JobSpecArgs(
                    # What failed is tried again at the next time.
                    backoff_limit=0,
                    active_deadline_seconds=GC_SECONDS,
                    template=python_template(
                        "mlflow_kubernetes.gc",
                        arguments=[f"--older-than={server.gc_older_than}"],
                        labels=worn,
                        image=server.image,
                        pods=pods,
                        backends=[server.database, server.artifacts],
                        seconds=120,
                    ),
                )
            ),
        ),
        opts=opts,
    )


def _restoration(
    server: _Server, pods: PodOptions, login: Login, opts: pulumi.ResourceOptions
) -> None:
    """Make the CronJob that restores a backup, where there are backups."""
    if server.backup_target is None or server.client_image is None:
        return
    restoration(
        server.name,
        namespace=server.namespace,
        image=server.image,
        client_image=server.client_image,
        pods=pods,
        database=server.database,
        artifacts=server.artifacts,
        login=[login.keys, *login.passwords],
        target=server.backup_target,
        recovers=server.point_in_time,
        environment=server.root_environment,
        opts=opts,
    )


def _probe(path: str, *, period: int, failures: int) -> k8s.core.v1.ProbeArgs:
    # The kubelet would send the pod's address as Host, which is refused where it is not private.
    return http_probe(path, "http", period=period, failures=failures, host="localhost")
