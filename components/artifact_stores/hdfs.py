"""Artifact store: HDFS in the cluster, a NameNode and DataNodes, with a folder for MLflow."""

import re
from functools import partial
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from .._component import Component
from .._defaults import ARTIFACT_STORAGE, HDFS_IMAGE, NAMESPACE, SERVER_IMAGE
from .._kubernetes.arguments import known_keys
from .._kubernetes.data_server import DATA_VOLUME, data_server
from .._kubernetes.labels import labels, metadata, selector
from .._kubernetes.network_policies import (
    DNS,
    Path,
    after,
    client_labels,
    client_policy,
    namespaces,
    pods,
    policy,
)
from .._kubernetes.pod_options import PodArgs, PodOptions, pod_options
from .._kubernetes.pods import (
    Credentials,
    exec_probe,
    once_done,
    python_job,
    resources,
    restricted_pod,
)
from .._kubernetes.retention import RetentionArgs
from .._kubernetes.uris import fingerprint, service_host
from ..artifact_stores._hadoop import configuration_xml
from ..held_data import HeldData, VersionRule

RPC_PORT = 8020
DATA_PORT = 9866
DATA_RPC_PORT = 9867
"""Port by which DataNodes recover a block whose writer has gone."""
DATA = "/data"
CONFIGURATION = "/etc/hadoop"
FOLDER = "/mlflow"
USER = "mlflow"
SUPERUSER = "hadoop"
"""The superuser of a NameNode is the user who starts the daemon: the user of the image."""
HADOOP_USER = 1000
"""User id of the official image (apache/hadoop), where it is called hadoop."""
NAMES_STORAGE = "1Gi"
"""Size of the NameNode's volume, which has names and no content: enough for millions of files."""
VERSIONS = VersionRule(
    re.compile(r"\D*(\d+)\.(\d+)"),
    lambda held, new: held <= new and held[0] == new[0],
    "Hadoop {0}.{1} or a newer one of {0}, for its data is on the volumes",
)

# The pods' folder of settings replaces the image's own. Without this file in it, the daemons log
# nothing, and a failure leaves no reason.
LOG4J = """\
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""


class HdfsArgs(TypedDict):
    """Inputs of :class:`Hdfs`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    image: NotRequired[pulumi.Input[str]]
    """Image with the contract of apache/hadoop, 3.4. Defaults to the release that is tested."""
    server_image: NotRequired[pulumi.Input[str]]
    """Image of the tracking server, which makes MLflow's folder. Defaults to the one that
    images/mlflow builds."""
    storage: NotRequired[pulumi.Input[str]]
    """Size of each DataNode's volume, as a Kubernetes quantity. Defaults to ``20Gi``."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of the volumes. Defaults to the cluster's default class."""
    retention: NotRequired[RetentionArgs]
    """What becomes of the volumes: ``StackNamespace.retention``. Defaults to: the volumes stay
    until their namespace is deleted."""
    data_nodes: NotRequired[int]
    """Number of DataNodes. Defaults to 1."""
    replication: NotRequired[int]
    """Number of DataNodes that hold each block, ``data_nodes`` at most. Defaults to 1."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods reach the HDFS without the tracking server. Defaults to none."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. Defaults to nothing."""


class Hdfs(Component):
    """An HDFS on volumes of its own: one NameNode, formatted once, and DataNodes.

    Hadoop's simple authentication believes every user name, so network policies alone keep others
    out. For an HDFS with Kerberos, use :class:`ExistingHdfs`.
    """

    artifact_root: pulumi.Output[str]
    """Where the tracking server keeps artifacts: ``hdfs://<host>:<port>/mlflow``."""
    endpoint_url: pulumi.Output[str]
    """Empty: the HDFS is reached inside the cluster alone."""
    credentials: Credentials
    """The Secret with the artifacts' destination and the user. Known when the folder exists."""
    client_env: pulumi.Output[dict[str, str]]
    """Environment of a client inside the cluster that reaches the folder itself."""

    holds = (
        # The NameNode alone reads data that depends on the version.
        HeldData(suffix="-namenode-server", image="image", versions=VERSIONS),
        HeldData(suffix="-datanode-server", storage="storage", count="data_nodes"),
    )

    def __init__(
        self,
        name: str,
        args: HdfsArgs = {},  # noqa: B006 (never changed)
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        known_keys(name, args, HdfsArgs)
        replication = _replication(name, args)
        super().__init__("Hdfs", name, args, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = args.get("namespace", NAMESPACE)
        common = labels(name, "hdfs", "artifact-store")
        options = pod_options(
            name, args.get("pods"), namespace=namespace, labels=common, opts=child
        )

        address = pulumi.Output.from_input(namespace).apply(
            lambda ns: f"hdfs://{service_host(_name_node_of(name), ns)}:{RPC_PORT}"
        )
        files = address.apply(lambda known: _files(known, replication))
        configuration = k8s.core.v1.ConfigMap(
            f"{name}-configuration",
            metadata=metadata(f"{name}-configuration", namespace, common),
            data=files,
            opts=child,
        )
        changes_with = fingerprint(files.apply(lambda known: "".join(known.values())))
        protected = _protected(name, namespace, args.get("client_namespaces", []), child)
        servers = _nodes(
            name,
            args,
            options,
            configuration=configuration.metadata.name,
            changes_with=changes_with,
            opts=protected,
        )

        self.artifact_root = pulumi.Output.concat(address, FOLDER)
        self.endpoint_url = pulumi.Output.from_input("")
        self.client_env = pulumi.Output.from_input({"HADOOP_USER_NAME": USER})
        secret = k8s.core.v1.Secret(
            f"{name}-credentials",
            metadata=metadata(f"{name}-credentials", namespace, common),
            string_data={
                "MLFLOW_ARTIFACTS_DESTINATION": self.artifact_root,
                "HADOOP_USER_NAME": USER,
            },
            opts=child,
        )
        credentials: Credentials = {
            "secret": secret.metadata.name,
            # A client reads the replication once, so it restarts when the nodes' settings change.
            "fingerprint": fingerprint(self.artifact_root, changes_with),
            "client_labels": client_labels(name),
        }
        folder = python_job(
            f"{name}-folder",
            module="mlflow_kubernetes.provision_hdfs",
            namespace=namespace,
            labels=labels(f"{name}-folder", "mlflow", "artifact-store"),
            image=args.get("server_image", SERVER_IMAGE),
            pods=options,
            backends=[credentials],
            environment={"HDFS_SUPERUSER": SUPERUSER},
            seconds=120,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=servers)),
        )

        # A pod that reads the Secret then comes after the folder.
        self.credentials = {**credentials, "secret": once_done(folder, secret.metadata.name)}
        self.register_outputs(
            {
                "artifact_root": self.artifact_root,
                "endpoint_url": self.endpoint_url,
                "credentials": self.credentials,
                "client_env": self.client_env,
            }
        )


def _replication(name: str, args: HdfsArgs) -> int:
    """Return how many DataNodes hold each block.

    Raises:
        pulumi.RunError: if there are less DataNodes.
    """
    data_nodes, replication = args.get("data_nodes", 1), args.get("replication", 1)
    if not 1 <= replication <= data_nodes:
        raise pulumi.RunError(
            f"{name}.replication: {replication}; accepted: 1 to the number of DataNodes, "
            f"which is {data_nodes}"
        )
    return replication


def _name_node_of(name: str) -> str:
    """Return the name of the NameNode's objects."""
    return f"{name}-namenode"


def _nodes(
    name: str,
    args: HdfsArgs,
    options: PodOptions,
    *,
    configuration: pulumi.Input[str],
    changes_with: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Make the NameNode and the DataNodes, which read the ConfigMap ``configuration``."""
    name_node, data_node = _name_node_of(name), f"{name}-datanode"
    image = args.get("image", HDFS_IMAGE)
    server = partial(
        data_server,
        app="hdfs",
        namespace=args.get("namespace", NAMESPACE),
        pods=options,
        restarts_with=changes_with,
        storage_class=args.get("storage_class"),
        retention=args.get("retention", {}),
        opts=opts,
    )
    return [
        server(
            name_node,
            labels=labels(name_node, "hdfs", "artifact-store"),
            ports={"rpc": RPC_PORT},
            pod=_name_node(image, configuration),
            storage=NAMES_STORAGE,
            # The NameNode is ready when DataNodes have reported, so they must reach it before.
            reached_unready=True,
        ),
        server(
            data_node,
            labels=labels(data_node, "hdfs", "artifact-store"),
            ports={"data": DATA_PORT},
            pod=_data_node(image, configuration),
            storage=args.get("storage", ARTIFACT_STORAGE),
            replicas=args.get("data_nodes", 1),
            # Clients connect to each DataNode by the pod's own address.
            headless=True,
        ),
    ]


def _protected(
    name: str,
    namespace: pulumi.Input[str],
    client_namespaces: list[str],
    opts: pulumi.ResourceOptions,
) -> pulumi.ResourceOptions:
    """Return options with which the nodes come after the policies of who may reach them."""
    name_node, data_node = (selector(f"{name}-{kind}node", "hdfs") for kind in ("name", "data"))
    clients = [pods(client_labels(name)), *namespaces(client_namespaces)]
    among_nodes = [DATA_PORT, DATA_RPC_PORT]
    policies = [
        policy(
            f"{name}-namenode",
            namespace=namespace,
            labels=labels(f"{name}-namenode", "hdfs", "artifact-store"),
            applies_to=name_node,
            # From the NameNode's pod too: commands in it use the address of the Service.
            ingress=[Path([*clients, pods(data_node), pods(name_node)], tcp=[RPC_PORT])],
            egress=[Path([pods(name_node)], tcp=[RPC_PORT]), DNS],
            opts=opts,
        ),
        policy(
            f"{name}-datanode",
            namespace=namespace,
            labels=labels(f"{name}-datanode", "hdfs", "artifact-store"),
            applies_to=data_node,
            ingress=[Path(clients, tcp=[DATA_PORT]), Path([pods(data_node)], tcp=among_nodes)],
            egress=[
                Path([pods(name_node)], tcp=[RPC_PORT]),
                Path([pods(data_node)], tcp=among_nodes),
                DNS,
            ],
            opts=opts,
        ),
        client_policy(
            name,
            namespace=namespace,
            labels=labels(name, "hdfs", "artifact-store"),
            egress=[
                Path([pods(name_node)], tcp=[RPC_PORT]),
                Path([pods(data_node)], tcp=[DATA_PORT]),
            ],
            opts=opts,
        ),
    ]
    return after(opts, *policies)


def _files(address: str, replication: int) -> dict[str, str]:
    """Return the configuration files of the NameNode and the DataNodes."""
    return {
        "core-site.xml": configuration_xml({"fs.defaultFS": address}),
        "hdfs-site.xml": configuration_xml(
            {
                # Folders below the volume's root: formatting refuses a folder with a lost+found.
                "dfs.namenode.name.dir": f"file://{DATA}/names",
                "dfs.datanode.data.dir": f"file://{DATA}/blocks",
                "dfs.replication": str(replication),
                # By default, the NameNode listens on the address of its name, the Service's.
                "dfs.namenode.rpc-bind-host": "0.0.0.0",  # noqa: S104 (in the pod)
                # DNS has no names for the pods' addresses.
                "dfs.namenode.datanode.registration.ip-hostname-check": "false",
                # Safe mode ends at once when a DataNode has reported and all blocks are known.
                "dfs.namenode.safemode.min.datanodes": "1",
                "dfs.namenode.safemode.extension": "0",
                # Acknowledged data is on the disk, also if the machine loses its power.
                "dfs.datanode.synconclose": "true",
                # A DataNode that has not reported for 30 s is used last.
                "dfs.namenode.avoid.read.stale.datanode": "true",
                "dfs.namenode.avoid.write.stale.datanode": "true",
                # WebHDFS gives access to the files by HTTP, which nothing here uses.
                "dfs.webhdfs.enabled": "false",
            }
        ),
        "log4j.properties": LOG4J,
    }


# The folder is formatted under another name, and then renamed. So a first start that is killed
# leaves no half of a file system, which the next start would use or refuse to format.
_START_NAME_NODE = f"""\
hdfs=(/opt/hadoop/bin/hdfs --config {CONFIGURATION})
new={DATA}/unfinished
if [ ! -d {DATA}/names ]; then
  rm -rf $new
  "${{hdfs[@]}}" namenode -Ddfs.namenode.name.dir=file://$new -format -nonInteractive || exit
  mv $new {DATA}/names
fi
exec "${{hdfs[@]}}" namenode
"""


def _name_node(
    image: pulumi.Input[str], configuration: pulumi.Input[str]
) -> k8s.core.v1.PodSpecArgs:
    # Ready means: the NameNode serves, and has left safe mode, in which nothing can be written.
    ready = _told_by(9870, "NameNode,name=FSNamesystemState", '"FSState" : "Operational"')
    return _pod(
        "namenode",
        image,
        configuration,
        command=["bash", "-c", _START_NAME_NODE],
        ports={"rpc": RPC_PORT},
        ready=ready,
    )


def _data_node(
    image: pulumi.Input[str], configuration: pulumi.Input[str]
) -> k8s.core.v1.PodSpecArgs:
    # Ready means: the DataNode has registered at the NameNode.
    ready = _told_by(9864, "DataNode,name=DataNodeInfo", "ActorState[^,]*RUNNING")
    return _pod(
        "datanode",
        image,
        configuration,
        command=["/opt/hadoop/bin/hdfs", "--config", CONFIGURATION, "datanode"],
        ports={"data": DATA_PORT},
        ready=ready,
    )


def _pod(
    name: str,
    image: pulumi.Input[str],
    configuration: pulumi.Input[str],
    *,
    command: list[str],
    ports: dict[str, int],
    ready: list[str],
) -> k8s.core.v1.PodSpecArgs:
    """Return the pod of a daemon. It does not use the image's entrypoint, which needs sudo."""
    (port,) = ports
    alive = k8s.core.v1.ProbeArgs(
        tcp_socket=k8s.core.v1.TCPSocketActionArgs(port=port),
        period_seconds=10,
        failure_threshold=12,
    )
    container = k8s.core.v1.ContainerArgs(
        name=name,
        image=image,
        command=command,
        env=[
            k8s.core.v1.EnvVarArgs(name="HADOOP_HEAPSIZE_MAX", value="256"),
            k8s.core.v1.EnvVarArgs(name="HADOOP_LOG_DIR", value="/tmp"),  # noqa: S108 (in the pod)
        ],
        ports=[
            k8s.core.v1.ContainerPortArgs(name=port_name, container_port=number)
            for port_name, number in ports.items()
        ],
        startup_probe=exec_probe(ready, period=1, failures=180),
        readiness_probe=exec_probe(ready, period=10, failures=2),
        liveness_probe=alive,
        resources=resources("100m", "384Mi", most_cpu="4", most_memory="768Mi"),
    )
    return restricted_pod(
        container,
        user=HADOOP_USER,
        mounts=[
            k8s.core.v1.VolumeMountArgs(name=DATA_VOLUME, mount_path=DATA),
            k8s.core.v1.VolumeMountArgs(name="configuration", mount_path=CONFIGURATION),
        ],
        volumes=[
            k8s.core.v1.VolumeArgs(
                name="configuration",
                config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=configuration),
            )
        ],
    )


def _told_by(port: int, bean: str, pattern: str) -> list[str]:
    """Return the command of a probe that asks a daemon's page `/jmx`, without another Java."""
    request = f"GET /jmx?qry=Hadoop:service={bean} HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n"
    return [
        "bash",
        "-c",
        f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf '{request}' >&3 && grep -q '{pattern}' <&3",
    ]
