"""A workspace in the cluster: JupyterLab with MLflow's client, connected to the tracking server."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from ._component import Component
from ._defaults import NAMESPACE, WORKSPACE_IMAGE, WORKSPACE_STORAGE
from ._kubernetes.arguments import applied, known_keys
from ._kubernetes.data_server import DATA_VOLUME, data_server
from ._kubernetes.labels import labels, metadata, selector
from ._kubernetes.network_policies import DNS, INTERNET, after, policy
from ._kubernetes.pod_options import PodArgs, pod_options
from ._kubernetes.pods import Credentials, fingerprints, http_probe, resources, restricted_pod
from ._kubernetes.publishing import IngressArgs, check_published, from_ingress, public_url, publish
from ._kubernetes.retention import RetentionArgs, generated_password
from ._kubernetes.uris import fingerprint, service_host
from .contracts import ArtifactStoreInput, TrackingInput, output_of
from .held_data import HeldData

PORT = 8888
HOST = "mlflow-workspace.local"
WORKSPACE_USER = 1000
"""User id in images/client/Dockerfile. The volume's group has the same id, for any image."""
HOME = "/home/mlflow"
TOKEN_FOLDER = "/etc/jupyter-token"  # noqa: S105 (a folder)


class ClientWorkspaceArgs(TypedDict):
    """Inputs of :class:`ClientWorkspace`."""

    tracking_server: TrackingInput
    """The tracking server to which the workspace logs. Required: a workspace has no other use."""
    user: NotRequired[str]
    """Name of the workspace's user, one of the ``users`` of the tracking server. Without effect for
    a server without login. In a program of another language, required for a server with login.
    Defaults to the name of the component."""
    artifact_store: NotRequired[ArtifactStoreInput | None]
    """Artifact store that the workspace reaches itself. Defaults to none: artifacts pass through
    the tracking server."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    image: NotRequired[pulumi.Input[str]]
    """Image with ``jupyter lab``. Defaults to the one that images/client builds."""
    host: NotRequired[str]
    """Host name on the ingress. Defaults to ``mlflow-workspace.local``."""
    storage: NotRequired[pulumi.Input[str]]
    """Size of the home folder's volume, as a Kubernetes quantity. Defaults to ``5Gi``."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of that volume. Defaults to the cluster's default class."""
    memory: NotRequired[pulumi.Input[str]]
    """Memory of the pod, as a Kubernetes quantity. Defaults to ``2Gi``."""
    ingress: NotRequired[IngressArgs]
    """How the host name is published. Defaults to the cluster's default ingress class."""
    retention: NotRequired[RetentionArgs]
    """What becomes of the volume and the generated token: ``StackNamespace.retention``. Defaults
    to: the volume stays until its namespace is deleted, and Pulumi may delete the token."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. Defaults to nothing."""


class ClientWorkspace(Component):
    """JupyterLab behind a generated token, with a home that outlives its pod."""

    url: pulumi.Output[str]
    """URL of JupyterLab."""
    token: pulumi.Output[str]
    """Token for the login page: secret."""

    holds = (HeldData(storage="storage"),)

    def __init__(
        self, name: str, args: ClientWorkspaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        known_keys(name, args, ClientWorkspaceArgs)
        host, ingress = args.get("host", HOST), args.get("ingress", {})
        check_published(name, ingress, host=host)
        backends = _backends(name, args)
        kept: dict[str, object] = {
            **args,
            "tracking_server": output_of(args["tracking_server"], "tracking_uri_in_cluster"),
        }
        if store := args.get("artifact_store"):
            kept["artifact_store"] = output_of(store, "credentials")
        super().__init__("ClientWorkspace", name, kept, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace, retention = args.get("namespace", NAMESPACE), args.get("retention", {})
        common = labels(name, "jupyterlab", "client-workspace")
        pods = pod_options(name, args.get("pods"), namespace=namespace, labels=common, opts=child)

        self.token = pulumi.Output.secret(generated_password(f"{name}-token", 40, retention, child))
        secret = k8s.core.v1.Secret(
            f"{name}-token",
            metadata=metadata(f"{name}-token", namespace, common),
            string_data={"token": self.token},
            opts=child,
        )
        protected = policy(
            name,
            namespace=namespace,
            labels=common,
            applies_to=selector(name, "jupyterlab"),
            ingress=[from_ingress(ingress, PORT)],
            # People install packages with pip.
            egress=[INTERNET, DNS],
            opts=child,
        )
        server = data_server(
            name,
            app="jupyterlab",
            namespace=namespace,
            labels=applied(
                output_of(args["tracking_server"], "client_labels"),
                lambda known: {**common, **known},
            ),
            ports={"http": PORT},
            pod=_pod(name, args, secret.metadata.name, backends),
            pods=pods,
            restarts_with=fingerprint(self.token, *fingerprints(backends)),
            backends=backends,
            storage=args.get("storage", WORKSPACE_STORAGE),
            storage_class=args.get("storage_class"),
            retention=retention,
            opts=after(child, protected),
        )
        publish(
            name,
            ingress,
            namespace=namespace,
            labels=common,
            host=host,
            service=server.metadata.name,
            port=PORT,
            opts=after(child, server),
        )

        self.url = pulumi.Output.from_input(public_url(ingress, host))
        self.register_outputs({"url": self.url, "token": self.token})


def _backends(name: str, args: ClientWorkspaceArgs) -> list[pulumi.Input[Credentials]]:
    """Return the workspace's backends: its login, and the store if it is reached directly.

    Raises:
        pulumi.RunError: if the tracking server has a login, and the workspace's user none there.
    """
    server, store = args["tracking_server"], args.get("artifact_store")
    user = args.get("user", name)
    auth, logins = output_of(server, "auth"), output_of(server, "logins")
    stores = [output_of(store, "credentials")] if store else []
    if isinstance(logins, pulumi.Output):
        # Whether the server has a login is known only during the `up`, so the input `user` decides.
        return [logins[user], *stores] if "user" in args else stores
    if not (auth or logins):
        return stores
    if user not in logins:
        accepted = " or ".join(map(repr, logins)) or "none, for it has no users"
        raise pulumi.RunError(
            f"{name}.user: {user!r}; accepted: one of the tracking server's users: {accepted}"
        )
    return [logins[user], *stores]


def _pod(
    name: str,
    args: ClientWorkspaceArgs,
    token: pulumi.Input[str],
    backends: list[pulumi.Input[Credentials]],
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of the workspace."""
    environment: dict[str, pulumi.Input[str]] = {
        "MLFLOW_TRACKING_URI": output_of(args["tracking_server"], "tracking_uri_in_cluster"),
        # In a file, because every notebook and terminal inherits the environment. A `%env` in a
        # notebook that is logged would show the token.
        "JUPYTER_TOKEN_FILE": f"{TOKEN_FOLDER}/token",
        # Jupyter writes a file with the token into this folder, which must not be on the volume.
        "JUPYTER_RUNTIME_DIR": "/tmp/jupyter",  # noqa: S108 (in the pod)
        # By default, MLflow sends usage data to its project.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HOME": HOME,
    }
    ingress = args.get("ingress", {})
    service = pulumi.Output.from_input(args.get("namespace", NAMESPACE)).apply(
        lambda ns: service_host(name, ns)
    )
    container = k8s.core.v1.ContainerArgs(
        name="jupyterlab",
        image=args.get("image", WORKSPACE_IMAGE),
        command=["jupyter", "lab"],
        working_dir=HOME,
        args=[
            "--ip=0.0.0.0",
            f"--port={PORT}",
            "--no-browser",
            f"--ServerApp.root_dir={HOME}",
            # Any other Host header is refused, against DNS rebinding.
            "--ServerApp.allow_remote_access=False",
            "--ServerApp.local_hostnames=localhost",
            f"--ServerApp.local_hostnames={args.get('host', HOST)}",
            pulumi.Output.concat("--ServerApp.local_hostnames=", service),
            # MLflow asks JupyterLab, under the pod's name, for the notebook of a run.
            f"--ServerApp.local_hostnames={name}-0",
            # Kernels use Unix sockets, because anything in the pod's network could reach ports.
            "--KernelManager.transport=ipc",
            # The ingress controller uses plain HTTP to the pod, and the browser HTTPS.
            *(["--IdentityProvider.secure_cookie=True"] if ingress.get("tls") else []),
            # An extension cannot be installed under a read-only root.
            "--LabApp.extension_manager=readonly",
        ],
        env=[k8s.core.v1.EnvVarArgs(name=key, value=value) for key, value in environment.items()],
        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=PORT)],
        startup_probe=_probe("/api", period=1, failures=180),
        # Ready means: JupyterLab shows its login page. Alive means: it answers.
        readiness_probe=_probe("/login", period=5, failures=2),
        # Training uses the same processors, so JupyterLab may be slow for two minutes.
        liveness_probe=_probe("/api", period=10, failures=12),
        # Training may use more processors than a server.
        resources=resources("100m", args.get("memory", "2Gi"), most_cpu="16", most_scratch="16Gi"),
    )
    return restricted_pod(
        container,
        user=WORKSPACE_USER,
        backends=backends,
        mounts=[
            k8s.core.v1.VolumeMountArgs(name=DATA_VOLUME, mount_path=HOME),
            k8s.core.v1.VolumeMountArgs(name="token", mount_path=TOKEN_FOLDER, read_only=True),
        ],
        volumes=[
            k8s.core.v1.VolumeArgs(
                name="token", secret=k8s.core.v1.SecretVolumeSourceArgs(secret_name=token)
            )
        ],
    )


def _probe(path: str, *, period: int, failures: int) -> k8s.core.v1.ProbeArgs:
    # Neither page needs a token. By default, the kubelet sends the pod's address as Host.
    return http_probe(path, "http", period=period, failures=failures, host="localhost")
