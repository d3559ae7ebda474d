"""Artifact store: an HDFS outside the stack, which a Job checks first."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import pulumi

from .._component import Component
from .._defaults import NAMESPACE, SERVER_IMAGE
from .._kubernetes.arguments import known_keys
from .._kubernetes.labels import labels
from .._kubernetes.network_policies import Path, outside
from .._kubernetes.pod_options import PodArgs, pod_options
from .._kubernetes.pods import FILES, Credentials
from .._kubernetes.preflight import checked_credentials
from .._kubernetes.retention import RetentionArgs
from ..artifact_stores._hadoop import configuration_xml

USER = "mlflow"


class ExistingHdfsArgs(TypedDict):
    """Inputs of :class:`ExistingHdfs`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    server_image: NotRequired[pulumi.Input[str]]
    """Image of the tracking server, which checks the folder. Defaults to the one that images/mlflow
    builds."""
    retention: NotRequired[RetentionArgs]
    """What becomes of generated passwords: ``StackNamespace.retention``. Defaults to: Pulumi may
    delete them."""
    uri: str
    """Folder for artifacts: ``hdfs://<host>:<port>/<folder>``, or with the name of a nameservice
    that ``configuration`` describes. Required because there is nothing to derive it from."""
    user: NotRequired[str]
    """MLflow's user name in HDFS; with Kerberos, the ticket names the user. Defaults to
    ``mlflow``."""
    configuration: NotRequired[Mapping[str, str]]
    """Properties of the cluster's core-site.xml and hdfs-site.xml. Defaults to none."""
    host_aliases: NotRequired[Mapping[str, list[str]]]
    """Names of nodes that DNS does not know, by address. Defaults to none."""
    networks: NotRequired[list[str]]
    """Networks that the nodes are in, as CIDRs. Defaults to any but the cloud's own."""
    kerberos_secret: NotRequired[pulumi.Input[str] | None]
    """Name of a Secret of the namespace with the files ``krb5.conf`` and ``keytab``. Defaults to
    none: Hadoop's simple authentication."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. Defaults to nothing."""


class ExistingHdfs(Component):
    """A folder of an HDFS outside the stack."""

    artifact_root: pulumi.Output[str]
    """Where the tracking server keeps artifacts: the URI that was given."""
    endpoint_url: pulumi.Output[str]
    """Empty: an HDFS is no S3 store."""
    credentials: Credentials
    """The Secrets with the artifacts' destination, the user and the HDFS's configuration. Known
    after a Job has written, read and removed a file with them."""
    client_env: pulumi.Output[dict[str, str]]
    """Environment of a client that reaches the folder itself, beside the configuration of the
    HDFS."""

    def __init__(
        self, name: str, args: ExistingHdfsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        known_keys(name, args, ExistingHdfsArgs)
        where = outside(name, args.get("networks", []))
        super().__init__("ExistingHdfs", name, args, opts)
        kerberos = args.get("kerberos_secret")

        user = {"HADOOP_USER_NAME": args.get("user", USER)}
        self.artifact_root = pulumi.Output.from_input(args["uri"])
        self.endpoint_url = pulumi.Output.from_input("")
        self.client_env = pulumi.Output.from_input(user)
        self.credentials = checked_credentials(
            name,
            module="mlflow_kubernetes.provision_hdfs",
            namespace=args.get("namespace", NAMESPACE),
            role="artifact-store",
            image=args.get("server_image", SERVER_IMAGE),
            pods=pod_options(
                name,
                args.get("pods"),
                namespace=args.get("namespace", NAMESPACE),
                labels=labels(name, "mlflow", "artifact-store"),
                opts=pulumi.ResourceOptions(parent=self),
            ),
            # A client learns the DataNodes' ports from HDFS. It asks Kerberos on UDP first.
            reached_by=[Path(where, any_tcp=True, udp=[88] if kerberos else [])],
            variables={
                "MLFLOW_ARTIFACTS_DESTINATION": args["uri"],
                **user,
                "HADOOP_CONF_DIR": FILES,
                **(_KERBEROS if kerberos else {}),
            },
            files={"core-site.xml": configuration_xml(args.get("configuration", {}))},
            existing_files=[kerberos] if kerberos else [],
            host_aliases=args.get("host_aliases"),
            retention=args.get("retention", {}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs(
            {
                "artifact_root": self.artifact_root,
                "endpoint_url": self.endpoint_url,
                "credentials": self.credentials,
                "client_env": self.client_env,
            }
        )


# Variables of MIT Kerberos, which gets tickets with the keytab, and renews them.
_KERBEROS = {
    "KRB5_CONFIG": f"{FILES}/krb5.conf",
    "KRB5_CLIENT_KTNAME": f"{FILES}/keytab",
    "KRB5CCNAME": "MEMORY:mlflow",
}
