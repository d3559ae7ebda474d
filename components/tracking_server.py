"""The MLflow tracking server: tables are migrated, servers start, one host name is published."""

from dataclasses import dataclass
from typing import NotRequired, Self, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from ._component import Component
from ._defaults import NAMESPACE, SERVER_IMAGE
from ._egress import (
    INTERNET_NAME,
    WAY,
    EgressArgs,
    Way,
    egress_credentials,
    egress_environment,
    ways_out,
)
from ._kubernetes.arguments import applied, checked, known_keys, recorded
from ._kubernetes.availability import apart, one_away_at_most
from ._kubernetes.cron_jobs import cron_job
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
from ._kubernetes.publishing import IngressArgs, check_published, from_ingress, public_url, publish
from ._kubernetes.retention import RetentionArgs
from ._kubernetes.uris import service_host
from ._login import ADMIN, Login, check_users
from ._migration import Dumps, Migration, last_upgrade, migration
from ._restoration import restoration
from ._rotation import ENDED_BY_THE_JOB, RotationArgs, end_former, numbers
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
"""Accepted sources of a model version. The last two are those of prompts, which have no files."""
# RFC 1918 and RFC 4193, and loopback.
_PRIVATE = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
_GRACE_SECONDS = 60
"""How long a server may take to end. Uploads under way have this time. The migration Job waits for
longer (POD_SECONDS in images/mlflow, upgrade/flow.py); docs/rotation.md names the number."""
GC_SECONDS = 6 * 3600
"""How long a garbage collection may take. Each run takes some requests to the store."""


class TrackingServerArgs(TypedDict):
    """Inputs of :class:`TrackingServer`."""

    backend_store: BackendStoreInput
    """Database of runs: a component of ``backend_stores``. Required: runs have no other place."""
    artifact_store: ArtifactStoreInput
    """Store of artifacts: a component of ``artifact_stores``. Required: artifacts have no other
    place."""
    direct_artifact_access: NotRequired[bool]
    """Whether clients read and write artifacts in the store themselves. Defaults to ``False``:
    artifacts pass through the server, and clients need no key of the store."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    image: NotRequired[pulumi.Input[str]]
    """Image of the server. Defaults to the one that images/mlflow builds."""
    host: NotRequired[str]
    """Host name on the ingress. Defaults to ``mlflow-server.local``."""
    path: NotRequired[str]
    """Path of the server on its host, such as ``/mlflow``. Defaults to the whole host."""
    replicas: NotRequired[int]
    """Number of pods; with ``autoscaled``, the greatest number. Defaults to 1."""
    autoscaled: NotRequired[bool]
    """Whether an autoscaler decides the number of pods, up to ``replicas``. A new Deployment begins
    with ``replicas`` pods. Defaults to ``False``."""
    workers: NotRequired[int]
    """Server processes in each pod. Defaults to 2."""
    memory: NotRequired[pulumi.Input[str]]
    """Memory of each pod, as a Kubernetes quantity. A pod of two workers takes 380 MiB under load.
    Defaults to ``1Gi``."""
    auth: NotRequired[bool]
    """Whether clients need a user's name and password. Defaults to ``True``."""
    users: NotRequired[list[str]]
    """Names of users with a generated password, beside the admin. Defaults to none."""
    audit_log: NotRequired[bool]
    """Whether the server writes a line to its log for each request that changes anything: the user,
    the event, its object and the answer. Defaults to ``True``."""
    job_execution: NotRequired[bool]
    """Whether MLflow's job runners run, in a single pod. They take 1.4 GB more memory. Defaults to
    ``False``."""
    egress: NotRequired[EgressArgs]
    """Calls of the server to servers other than its backends. ``job_execution`` adds the way
    ``internet``. Defaults to none."""
    allowed_hosts: NotRequired[list[str]]
    """More Host headers that the server answers, beside those of the deployment. Defaults to
    none."""
    ingress: NotRequired[IngressArgs]
    """How the host name is published. Defaults to the cluster's default ingress class."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods reach the server without the ingress. Defaults to none."""
    gc_schedule: NotRequired[str | None]
    """When deleted runs, models and experiments are removed for good, as a cron expression in UTC.
    Defaults to never: the CronJob is there, and suspended."""
    gc_older_than: NotRequired[str]
    """Age since the deletion, from which on they are removed. Defaults to ``30d``."""
    backups: NotRequired[BackupsInput | None]
    """Backups that can be restored, and that receive a dump of the databases before an upgrade of
    their tables. Defaults to none: an upgrade stops the servers, and dumps nothing."""
    point_in_time: NotRequired[bool]
    """Whether a restore can bring back a moment between two backups. ``backups`` must have the
    input of the same name. Defaults to ``False``."""
    rotation: NotRequired[RotationArgs]
    """How many times passwords and keys were rotated. Higher numbers replace the servers one by
    one, and end the former passwords after that. Defaults to: none was rotated."""
    retention: NotRequired[RetentionArgs]
    """What becomes of generated passwords: ``StackNamespace.retention``. Defaults to: Pulumi may
    delete them."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. A pod that reaches a store with a
    service account runs under that account, and not under one of ``pods``. Defaults to nothing."""


class TrackingServer(Component):
    """MLflow's tracking server. Artifacts pass through it, so clients need no key of the store."""

    tracking_uri: pulumi.Output[str]
    """The tracking URI for clients outside the cluster."""
    tracking_uri_in_cluster: pulumi.Output[str]
    """The tracking URI for pods of any namespace."""
    auth: bool
    """Whether clients need a user's name and password."""
    logins: dict[str, Credentials]
    """For each of the ``users``, a Secret with ``MLFLOW_TRACKING_USERNAME``,
    ``MLFLOW_TRACKING_PASSWORD`` and ``MLFLOW_EXPERIMENT_NAME``; empty without a login."""
    client_env: pulumi.Output[dict[str, str]]
    """The environment of a client outside the cluster, as the admin: secret."""
    add_user: pulumi.Output[str]
    """Arguments of kubectl that create a user and print the environment of that user's client. The
    caller adds the user's name."""
    address: pulumi.Output[str]
    """Address that the ingress controller published. It is empty with a Gateway, and may be empty
    if ``ingress`` has no ``wait_seconds``."""
    client_labels: dict[str, str]
    """Labels with which a pod of the server's namespace reaches the server, and nothing else."""
    last_upgrade: pulumi.Output[dict[str, str]]
    """Record of the last upgrade of MLflow's tables: ``from_image``, ``to_image``, ``stopped`` and
    ``migrated`` (times in UTC), ``dump`` (name of the backup made before; empty if there is none)
    and ``state``. Empty before the first upgrade."""

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

        login = server.login(child)
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
        _rotation(server, pods, login, after(child, deployment))
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

    rotates = (
        ("admin", f"{ADMIN}-password"),
        ("page", "page-key"),
        ("kek", "passphrase"),
        ("webhook", "webhook-key"),
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
    """The inputs with their defaults, and the outputs of the stores."""

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
    """The store's address for clients, with direct access; None without."""
    client_env: pulumi.Input[dict[str, str]]
    """Variables of clients with direct access."""
    replicas: int
    autoscaled: bool
    workers: int
    memory: pulumi.Input[str]
    auth: bool
    users: list[str]
    audit_log: bool
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
    rotation: dict[str, int]
    """How many times each password or key was rotated, without those that never were."""
    rotated: list[pulumi.Input[Credentials]]
    """The Secrets by which former logins of the stores end."""

    @classmethod
    def of(cls, name: str, args: TrackingServerArgs) -> Self:
        """Return the inputs of the component ``name``.

        Raises:
            pulumi.RunError: if there is an unknown input, a text that is not accepted, or two
                inputs that exclude each other.
        """
        known_keys(name, args, TrackingServerArgs)
        known_keys(f"{name}.egress", args.get("egress", {}), EgressArgs)
        check_published(name, args.get("ingress", {}), host=args.get("host", HOST))
        check_users(name, args.get("users", []))
        for way in args.get("egress", {}).get("ways", []):
            checked(f"{name}.egress.ways", way, Way.parse, WAY)
        if args.get("job_execution") and (args.get("replicas", 1) > 1 or args.get("autoscaled")):
            raise pulumi.RunError(f"{name}.job_execution: expected 1 replica, and no autoscaler")
        database, artifacts = args["backend_store"], args["artifact_store"]
        direct, backups = args.get("direct_artifact_access", False), args.get("backups")
        rotation = numbers(name, args.get("rotation", {}))
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
            audit_log=args.get("audit_log", True),
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
            rotation=rotation,
            rotated=[
                _rotated(name, what, store)
                for what, store in (("database", database), ("store", artifacts))
                if what in rotation
            ],
        )

    def login(self, opts: pulumi.ResourceOptions) -> Login:
        """Make the passwords of the users, and the keys that all pods of the server share."""
        return Login(
            self.name,
            self.namespace,
            [ADMIN, *self.users] if self.auth else [],
            self.retention,
            opts,
            rotation=self.rotation,
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
        # The job runners' scorers call language models on the internet.
        scorers = [INTERNET_NAME] if self.job_execution else []
        return ways_out([*self.egress.get("ways", []), *scorers])

    @property
    def root_environment(self) -> dict[str, pulumi.Input[str]]:
        """The variable with the place of artifacts of new experiments, with direct access."""
        # Clients use this place. For its pages, the server reads the store itself.
        return {"MLFLOW_DEFAULT_ARTIFACT_ROOT": self.artifact_root} if self.artifact_root else {}


def _recorded(args: TrackingServerArgs) -> dict[str, object]:
    """Return the inputs as Pulumi keeps them in its state, without the stores and the backups.

    A child waits until all inputs of its parent are known. The outputs of a store are known when
    the store is ready. The Service, the Secrets and the policies need not wait for that.
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
    """Return the arguments of `kubectl` that create a user, without the user's name."""
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
            # Pulumi would wait until a pod is ready, but the pods come after the Service.
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
    """Return the size of one SQLAlchemy pool, so that all pools fit into ``connections``.

    Each worker, and MLflow's own process before the workers, has a pool for the tracking store, one
    for the registry store (mlflow/store/db/utils.py), and with ``auth`` one for users. A pool may
    overflow by one connection. A rolling update runs one pod more. When MLflow's own process has
    ended, its share is for the readiness probes. A pool uses no more than 20 connections, because a
    worker has 40 threads, which wait for the database less than half of their time.

    Raises:
        pulumi.RunError: if pools of one connection do not fit.
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
    """Return the names and networks that a Host header may name.

    images/mlflow (hosts.py) compares them with the Host header, at any port. With the ingress host
    alone, the server would refuse every pod (mlflow/mlflow#22095). The private networks are for
    Prometheus, which uses pods' addresses, and for NodePorts, which have nodes' addresses.
    """
    service = [name, f"{name}.{namespace}", f"{name}.{namespace}.svc"]
    service.append(f"{service[-1]}.cluster.local")
    return [host, *service, "localhost", *_PRIVATE, *more]


def allowed_origins(host: str, ingress: IngressArgs) -> list[str]:
    """Return the origins whose pages may send changes. MLflow itself adds localhost."""
    # HTTPS always, because another proxy may add TLS. HTTP only without TLS, because with TLS the
    # server has no page by plain HTTP, only a redirect.
    return sorted({public_url(ingress, host), f"https://{host}"})


def _strategy(server: _Server) -> k8s.apps.v1.DeploymentStrategyArgs:
    """Return how an update replaces pods."""
    if server.job_execution:
        # Each pod has a queue of its own, and a new pod starts every job that is not done. Beside
        # an old pod, it would run that pod's jobs a second time (mlflow/server/jobs/utils.py).
        return k8s.apps.v1.DeploymentStrategyArgs(type="Recreate")
    # A new pod is ready before an old pod ends, so an update fails no request.
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
        # By default, uvicorn closes an idle connection after 5 s. nginx keeps it for 60 s, Traefik
        # for up to 90 s. For a POST that meets a closing connection, both answer 502.
        "MLFLOW_UVICORN_OPTS": "--timeout-keep-alive=100",
        # By default, MLflow sends usage data to its project.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HOME": "/tmp",  # noqa: S108 (in the pod)
        **egress_environment(server.ways),
    }
    if server.audit_log:
        environment["AUDIT_LOG"] = "true"
    if server.path:
        environment["PUBLIC_PATH"] = server.path
    environment |= server.root_environment
    if server.auth and not server.artifact_root:
        # MLflow checks that the user may read one of these sources. It reads any other source with
        # the server's key. (For experiments: images/mlflow, locations.py.)
        environment["MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"] = _MODEL_SOURCES
    if server.job_execution:
        # By default, MLflow gives its jobs the host 0.0.0.0, which the check of hosts refuses.
        environment["MLFLOW_GATEWAY_URI"] = f"http://localhost:{PORT}"
    if (INTERNET_NAME, 443) not in server.ways:
        # By default, MLflow fetches a list of language models from the internet. That way is closed
        # here, and a user would wait for minutes. An empty address means the list in MLflow.
        environment["MLFLOW_MODEL_CATALOG_URI"] = ""
    container = k8s.core.v1.ContainerArgs(
        name="mlflow",
        image=server.image,
        # `mlflow server` with workers that share memory: half of the memory, a third of the time to
        # start (images/mlflow). The addresses of the stores are in the environment, because anyone
        # who may list pods can read arguments.
        command=["python", "-m", "mlflow_kubernetes.serve"],
        args=[
            "--host=0.0.0.0",
            f"--port={PORT}",
            f"--workers={server.workers}",
            *(["--app-name=basic-auth"] if server.auth else []),
        ],
        env=[k8s.core.v1.EnvVarArgs(name=key, value=value) for key, value in environment.items()],
        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=PORT)],
        # MLflow's imports take 19 to 31 s on a busy machine of two cores.
        startup_probe=_probe("/health", period=1, failures=240),
        # /health/ready asks the databases, /health does not (images/mlflow, probes.py).
        readiness_probe=_probe("/health/ready", period=5, failures=2),
        # A database that is away must not restart servers, which recover by themselves.
        liveness_probe=_probe("/health", period=10, failures=6),
        # During the sleep, the Service loses the pod, so no request meets a closed socket.
        lifecycle=k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(sleep=k8s.core.v1.SleepActionArgs(seconds=5))
        ),
        # Python's lock lets a worker's code use one processor; transfers use another. Scratch is
        # for parts of uploads, attachments of traces, and files that MLflow's jobs fetch.
        resources=resources(
            "250m",
            server.memory,
            most_cpu=str(2 * server.workers),
            most_scratch="16Gi",
        ),
    )
    # Uploads under way have this time to end, of which the sleep above is a part.
    pod = restricted_pod(
        container,
        user=SERVER_USER,
        backends=backends,
        grace_seconds=_GRACE_SECONDS,
    )
    pod.affinity = apart(server.selector)
    return pod


def _collection(server: _Server, pods: PodOptions, opts: pulumi.ResourceOptions) -> None:
    """Make the CronJob that removes deleted data for good. `make gc` makes Jobs from it too."""
    name = f"{server.name}-gc"
    worn = labels(name, "mlflow", "gc")
    cron_job(
        name,
        namespace=server.namespace,
        labels=worn,
        schedule=server.gc_schedule,
        usual="0 3 * * *",
        kept=1,
        seconds=GC_SECONDS,
        template=python_template(
            "mlflow_kubernetes.gc",
            arguments=[f"--older-than={server.gc_older_than}"],
            labels=worn,
            image=server.image,
            pods=pods,
            backends=[server.database, server.artifacts],
            seconds=120,
        ),
        opts=opts,
    )


def _rotated(component: str, what: str, store: object) -> pulumi.Input[Credentials]:
    """Return the output ``rotated`` of a store.

    Raises:
        pulumi.RunError: if the store was not rotated.
    """
    found = output_of(store, "rotated")
    if found is None:
        raise pulumi.RunError(
            f"{component}.rotation.{what}: accepted: only with a store whose input rotation has "
            "the same number"
        )
    return cast("pulumi.Input[Credentials]", found)


def _rotation(
    server: _Server, pods: PodOptions, login: Login, opts: pulumi.ResourceOptions
) -> None:
    """Make the Job that ends former passwords and keys, where one is good beside its successor."""
    if not server.rotation.keys() & {*ENDED_BY_THE_JOB}:
        return
    end_former(
        server.name,
        namespace=server.namespace,
        image=server.image,
        pods=pods,
        backends=[server.database, server.artifacts, login.keys, *server.rotated],
        former_pod_seconds=_GRACE_SECONDS,
        opts=opts,
    )


def _restoration(
    server: _Server, pods: PodOptions, login: Login, opts: pulumi.ResourceOptions
) -> None:
    """Make the CronJob that restores a backup, if there are backups."""
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
    # By default, the kubelet sends the pod's address as Host. The server refuses a public address.
    return http_probe(path, "http", period=period, failures=failures, host="localhost")
