"""The MLflow tracking server: migrated once, then rolled out, and published under one host name."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from ._egress import (
    INTERNET_NAME,
    EgressArgs,
    Way,
    egress_credentials,
    egress_environment,
    ways_out,
)
from ._kubernetes.arguments import known_keys, recorded
from ._kubernetes.availability import apart, one_away_at_most
from ._kubernetes.labels import labels, metadata, selector
from ._kubernetes.network_policies import Path, client_labels, namespaces, server_policies
from ._kubernetes.pods import (
    SERVER_USER,
    Credentials,
    http_probe,
    pod_labels,
    python_job,
    python_template,
    resources,
    restarts_with,
    restricted_pod,
)
from ._kubernetes.publishing import IngressArgs, from_ingress, public_url, publish
from ._kubernetes.uris import service_host
from ._login import ADMIN, Login

PORT = 5000
_MODEL_SOURCES = "^(runs|models|mlflow-artifacts):|^(dummy-source|prompt-template)$"
"""What a model's version may be made of; the last two stand for prompts, which have no files."""
# RFC 1918 and RFC 4193, and loopback.
_PRIVATE = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
MIGRATION_SECONDS = 240
"""A first migration takes about 10 s; one of a large older database may take minutes."""
GC_SECONDS = 6 * 3600
"""How long a collection may take: each run is some requests to the store."""


class TrackingServerArgs(TypedDict):
    """Inputs of :class:`TrackingServer`."""

    namespace: pulumi.Input[str]
    """Namespace that receives every object. Required because nothing belongs in ``default``."""
    image: pulumi.Input[str]
    """Image of the server. Required because versions are pinned in one place, by the caller."""
    host: str
    """Host name on the ingress. Required because people and clients type it."""
    path: NotRequired[str]
    """Path of the host that is the server's, such as ``/mlflow``. Defaults to all of them."""
    backend_store: Credentials
    """Where runs are kept: ``MLFLOW_BACKEND_STORE_URI``. Required: it is their only place."""
    backend_connections: int
    """How many connections the backend store allows. Required because pools are sized by it."""
    artifact_store: Credentials
    """Where artifacts are kept: ``MLFLOW_ARTIFACTS_DESTINATION`` and what that store needs.
    Required: it is their only place."""
    default_artifact_root: NotRequired[pulumi.Input[str] | None]
    """Where clients write artifacts by themselves. Defaults to nowhere: the server does it."""
    artifact_env: NotRequired[pulumi.Input[dict[str, str]]]
    """What such clients need in their environment to do so. Defaults to nothing."""
    replicas: int
    """Number of pods, or the most of them. Required because the pools are shared among them."""
    autoscaled: NotRequired[bool]
    """Whether an autoscaler decides the number of pods, up to ``replicas``, which is where a new
    server begins. Defaults to ``False``."""
    workers: int
    """Server processes in each pod. Required because the pools are shared among them."""
    memory: pulumi.Input[str]
    """Memory of each pod, as a Kubernetes quantity. Required because it follows the workers."""
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
    """How long ago it must have been deleted, such as ``30d``. Defaults to 30 days."""


class TrackingServer(pulumi.ComponentResource):
    """MLflow's server, with artifacts proxied, so that a client needs one URI and no store key."""

    tracking_uri: pulumi.Output[str]
    """Where clients outside the cluster find it."""
    tracking_uri_in_cluster: pulumi.Output[str]
    """Where pods find it, from any namespace."""
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

    def __init__(
        self, name: str, args: TrackingServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        known_keys(name, args, TrackingServerArgs)
        egress = args.get("egress", {})
        known_keys(f"{name}.egress", egress, EgressArgs)
        kept = {**args, "egress": recorded(egress, "https_proxy", "http_proxy")}
        super().__init__("mlflow-k8s:index:TrackingServer", name, kept, opts)
        if args.get("job_execution") and (args["replicas"] > 1 or args.get("autoscaled")):
            raise pulumi.RunError(f"{name}.job_execution: expected 1 replica, and no autoscaler")
        child = pulumi.ResourceOptions(parent=self)
        namespace = args["namespace"]
        common = labels(name, "mlflow", "tracking-server")

        # The server would make its tables itself when it starts, but takes no lock: two replicas
        # on an empty database race (mlflow/mlflow#19943). So one Job does it, before any server.
        auth = args.get("auth", True)
        login = Login(name, namespace, [ADMIN, *args.get("users", [])] if auth else [], child)
        proxies = egress_credentials(name, egress, namespace=namespace, opts=child)
        backends = [args["backend_store"], args["artifact_store"], login.keys, *proxies]
        migration = python_job(
            f"{name}-migration",
            module="mlflow_kubernetes.migrate",
            namespace=namespace,
            labels=labels(f"{name}-migration", "mlflow", "migration"),
            image=args["image"],
            backends=[args["backend_store"], *login.passwords],
            seconds=MIGRATION_SECONDS,
            environment=_artifact_root(args),
            opts=child,
        )
        service = k8s.core.v1.Service(
            f"{name}-service",
            metadata=metadata(
                name,
                namespace,
                common,
                # Its pods come after it; see components/_data_server.py.
                {"pulumi.com/skipAwait": "true"},
            ),
            spec={
                "selector": selector(name, "mlflow"),
                "ports": [{"name": "http", "port": PORT, "target_port": "http"}],
            },
            opts=child,
        )
        one_away_at_most(
            name,
            args["replicas"],
            namespace=namespace,
            labels=common,
            picked=selector(name, "mlflow"),
            opts=child,
        )
        self.client_labels = client_labels(name)
        protected = server_policies(
            name,
            namespace=namespace,
            labels=common,
            applies_to=selector(name, "mlflow"),
            port=PORT,
            ingress=[
                from_ingress(args.get("ingress", {}), PORT),
                Path(namespaces(args.get("client_namespaces", [])), tcp=[PORT]),
            ],
            egress=[way.path for way in _ways(args)],
            opts=child,
        )
        server = k8s.apps.v1.Deployment(
            f"{name}-server",
            metadata=metadata(name, namespace, common),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=args["replicas"],
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector(name, "mlflow")),
                strategy=_strategy(args),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        labels=pod_labels(common, backends),
                        annotations=restarts_with(*backends),
                    ),
                    spec=_pod(name, args, backends),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(
                protected,
                pulumi.ResourceOptions(
                    depends_on=[migration],
                    custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m"),
                    ignore_changes=["spec.replicas"] if args.get("autoscaled") else None,
                ),
            ),
        )
        collected = labels(f"{name}-gc", "mlflow", "gc")
        _collection(
            name,
            args,
            metadata(f"{name}-gc", namespace, collected),
            python_template(
                "mlflow_kubernetes.gc",
                arguments=[f"--older-than={args.get('gc_older_than', '30d')}"],
                labels=collected,
                image=args["image"],
                backends=[args["backend_store"], args["artifact_store"]],
                seconds=120,
            ),
            child,
        )
        self.address = publish(
            name,
            args.get("ingress", {}),
            namespace=namespace,
            labels=common,
            host=args["host"],
            path=args.get("path", ""),
            service=service.metadata.name,
            port=PORT,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[server])),
        )

        self.tracking_uri = pulumi.Output.from_input(
            public_url(args.get("ingress", {}), args["host"]) + args.get("path", "")
        )
        self.tracking_uri_in_cluster = service.metadata.namespace.apply(
            lambda ns: f"http://{service_host(name, ns)}:{PORT}"
        )
        self.logins = {user: login.credentials(user) for user in args.get("users", []) if auth}
        of_server = {"MLFLOW_TRACKING_URI": self.tracking_uri}
        of_user = login.variables(ADMIN) if auth else {}
        self.client_env = pulumi.Output.secret(
            pulumi.Output.all(of_server, of_user, args.get("artifact_env", {})).apply(
                lambda known: {**known[0], **known[1], **known[2]}
            )
        )
        self.add_user = pulumi.Output.concat(
            "exec --namespace=",
            service.metadata.namespace,
            f" deployment/{name} -- python -m mlflow_kubernetes.users ",
            self.tracking_uri,
        )
        self.register_outputs(
            {
                "tracking_uri": self.tracking_uri,
                "tracking_uri_in_cluster": self.tracking_uri_in_cluster,
                "logins": self.logins,
                "client_env": self.client_env,
                "add_user": self.add_user,
                "address": self.address,
            }
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


def _strategy(args: TrackingServerArgs) -> k8s.apps.v1.DeploymentStrategyArgs:
    """Return how an update replaces pods."""
    if args.get("job_execution"):
        # Each pod has a queue of its own, and a new pod takes up every job that is not done: beside
        # an old pod it would run the old pod's jobs a second time (mlflow/server/jobs/utils.py).
        return k8s.apps.v1.DeploymentStrategyArgs(type="Recreate")
    # A new pod is ready before an old one goes: an update is not an outage.
    return k8s.apps.v1.DeploymentStrategyArgs(
        rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
    )


def _ways(args: TrackingServerArgs) -> list[Way]:
    """Return the ways out of the server's pod."""
    # Scorers ask language models, which seldom run next door.
    scorers = [INTERNET_NAME] if args.get("job_execution") else []
    return ways_out([*args.get("egress", {}).get("ways", []), *scorers])


def _pod(
    name: str, args: TrackingServerArgs, backends: list[Credentials]
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of the server."""
    auth = args.get("auth", True)
    pool = pool_size(args["backend_connections"], args["replicas"], args["workers"], auth=auth)
    hosts = pulumi.Output.from_input(args["namespace"]).apply(
        lambda ns: ",".join(allowed_hosts(name, ns, args["host"], args.get("allowed_hosts", [])))
    )
    environment: dict[str, pulumi.Input[str]] = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": hosts,
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
            allowed_origins(args["host"], args.get("ingress", {}))
        ),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": str(args.get("job_execution", False)).lower(),
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(pool),
        # MLflow reads 0 as "not set", which means 10 (mlflow/store/db/utils.py).
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "1",
        # By default uvicorn closes an idle connection after 5 s. nginx keeps one for 60 s, Traefik
        # for up to 90 s, and neither may repeat a POST that meets a closing connection: 502.
        "MLFLOW_UVICORN_OPTS": "--timeout-keep-alive=100",
        # Nothing that people log here is for others to count.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HOME": "/tmp",  # noqa: S108 (in the pod)
        **egress_environment(_ways(args)),
    }
    if path := args.get("path"):
        environment["PUBLIC_PATH"] = path
    environment |= _artifact_root(args)
    if auth and not args.get("default_artifact_root"):
        # MLflow compares these with what their user may read, and reads all else with the server's
        # key: the files of any run. (images/mlflow, locations.py, has the like for experiments.)
        environment["MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"] = _MODEL_SOURCES
    if args.get("job_execution"):
        # What MLflow would tell its jobs, 0.0.0.0, is no name that it answers to itself.
        environment["MLFLOW_GATEWAY_URI"] = f"http://localhost:{PORT}"
    if (INTERNET_NAME, 443) not in _ways(args):
        # No newer list of language models than MLflow's own: it would ask the internet, which is
        # closed to it, and keep its user waiting for minutes.
        environment["MLFLOW_MODEL_CATALOG_URI"] = ""
    container = k8s.core.v1.ContainerArgs(
        name="mlflow",
        image=args["image"],
        # `mlflow server` with workers that share memory: a half of it, and a start in a third of
        # the time (images/mlflow). The stores come from the environment alone: an argument could
        # be read by anyone who may list pods. Artifacts are proxied because a destination is set.
        command=["python", "-m", "mlflow_kubernetes.serve"],
        args=[
            "--host=0.0.0.0",
            f"--port={PORT}",
            f"--workers={args['workers']}",
            *(["--app-name=basic-auth"] if auth else []),
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
            args["memory"],
            most_cpu=str(2 * args["workers"]),
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
    pod.affinity = apart(selector(name, "mlflow"))
    return pod


def _collection(
    name: str,
    args: TrackingServerArgs,
    described: k8s.meta.v1.ObjectMetaArgs,
    template: k8s.core.v1.PodTemplateSpecArgs,
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the CronJob that removes for good what was deleted; Jobs are made of it by hand, too."""
    schedule = args.get("gc_schedule")
    k8s.batch.v1.CronJob(
        f"{name}-gc",
        metadata=described,
        spec=k8s.batch.v1.CronJobSpecArgs(
            # One is needed also where it is suspended.
            schedule=schedule or "0 3 * * *",
            suspend=not schedule,
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
                    template=template,
                )
            ),
        ),
        opts=opts,
    )


def _artifact_root(args: TrackingServerArgs) -> dict[str, pulumi.Input[str]]:
    """Return what whoever makes experiments reads to know where their artifacts go."""
    # New experiments point here; the server itself reads it as before, for its pages.
    root = args.get("default_artifact_root")
    return {"MLFLOW_DEFAULT_ARTIFACT_ROOT": root} if root else {}


def _probe(path: str, *, period: int, failures: int) -> k8s.core.v1.ProbeArgs:
    # The kubelet would send the pod's address as Host, which is refused where it is not private.
    return http_probe(path, "http", period=period, failures=failures, host="localhost")
