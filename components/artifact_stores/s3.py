"""Artifact store: a bucket outside the stack, which a Job checks first."""

from typing import NotRequired, TypedDict

import pulumi

from .._component import Component
from .._defaults import NAMESPACE, SERVER_IMAGE
from .._kubernetes.arguments import known_keys, recorded
from .._kubernetes.labels import labels
from .._kubernetes.network_policies import Path, networks, outside
from .._kubernetes.pod_options import PodArgs, pod_options
from .._kubernetes.pods import FILES, Credentials
from .._kubernetes.preflight import checked_credentials
from .._kubernetes.retention import RetentionArgs
from .._kubernetes.uris import endpoint_port

REGION = "us-east-1"
_CA_FILE = "s3-ca.pem"


class S3Args(TypedDict):
    """Inputs of :class:`S3`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    server_image: NotRequired[pulumi.Input[str]]
    """Image of the tracking server, which checks the bucket. Defaults to the one that images/mlflow
    builds."""
    retention: NotRequired[RetentionArgs]
    """What becomes of generated passwords: ``StackNamespace.retention``. Defaults to: Pulumi may
    delete them."""
    bucket: str
    """Name of a bucket that exists. Required because nobody can guess it."""
    prefix: NotRequired[str | None]
    """Folder in the bucket. Defaults to the whole bucket."""
    endpoint: NotRequired[str | None]
    """URL of the S3 endpoint. Defaults to Amazon's own for the region."""
    region: NotRequired[str]
    """Region for which requests are signed. Defaults to ``us-east-1``."""
    access_key_id: NotRequired[pulumi.Input[str] | None]
    """Access key. Defaults to the key of ``secret``, of ``service_account``, or of the node."""
    secret_access_key: NotRequired[pulumi.Input[str] | None]
    """Secret of the access key. Required with ``access_key_id``. Defaults to none."""
    secret: NotRequired[pulumi.Input[str] | None]
    """Name of a Secret of the namespace with the access key, as boto3's variables. Defaults to
    none."""
    service_account: NotRequired[str | None]
    """Service account of the namespace to which the cloud gives a key. Defaults to none."""
    ca: NotRequired[str | None]
    """Certificates to trust at the endpoint, as PEM. Defaults to the public authorities."""
    networks: NotRequired[list[str]]
    """Networks that the endpoint is in, as CIDRs. Defaults to any but the cloud's own."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods, Jobs included. With ``service_account_annotations``,
    the pods of the tracking server run under the account of this component. Defaults to
    nothing."""


class S3(Component):
    """A bucket outside the stack, on Amazon S3 or any server that speaks its protocol."""

    artifact_root: pulumi.Output[str]
    """Where the tracking server keeps artifacts: ``s3://<bucket>[/<prefix>]``."""
    endpoint_url: pulumi.Output[str]
    """URL of the S3 endpoint; empty for Amazon's own."""
    credentials: Credentials
    """The Secrets with the artifacts' destination, the S3 endpoint and a key. Known after a Job has
    written, read, listed and removed objects with them."""
    client_env: pulumi.Output[dict[str, str]]
    """Environment of a client that reaches the bucket itself: secret. It has a key only if
    ``access_key_id`` is given."""

    def __init__(self, name: str, args: S3Args, opts: pulumi.ResourceOptions | None = None) -> None:
        known_keys(name, args, S3Args)
        where = outside(name, args.get("networks", []))
        port = endpoint_port(name, args.get("endpoint"))
        _check_key(name, args)
        super().__init__("S3", name, recorded(args, "secret_access_key"), opts)
        endpoint, ca = args.get("endpoint"), args.get("ca")
        key = {
            "AWS_ACCESS_KEY_ID": args.get("access_key_id"),
            "AWS_SECRET_ACCESS_KEY": args.get("secret_access_key"),
        }
        given = {
            variable: pulumi.Output.secret(value)
            for variable, value in key.items()
            if value is not None
        }
        pods = pod_options(
            name,
            args.get("pods"),
            namespace=args.get("namespace", NAMESPACE),
            labels=labels(name, "mlflow", "artifact-store"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if pods.account is not None and args.get("service_account") is not None:
            raise pulumi.RunError(
                f"{name}: expected either service_account or pods.service_account_annotations"
            )
        account = args.get("service_account") or pods.account
        path = "/".join(part for part in (args["bucket"], args.get("prefix")) if part)
        self.artifact_root = pulumi.Output.from_input(f"s3://{path}")
        self.endpoint_url = pulumi.Output.from_input(endpoint or "")
        client: dict[str, pulumi.Input[str]] = {
            "AWS_DEFAULT_REGION": args.get("region", REGION),
            **given,
        }
        if endpoint:
            client["MLFLOW_S3_ENDPOINT_URL"] = endpoint
            # DNS seldom knows the host name of another endpoint with the bucket's name in front.
            client["MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"] = "path"
        self.credentials = checked_credentials(
            name,
            module="mlflow_kubernetes.check_bucket",
            namespace=args.get("namespace", NAMESPACE),
            role="artifact-store",
            image=args.get("server_image", SERVER_IMAGE),
            pods=pods,
            reached_by=_paths(
                Path(where, tcp=[port]),
                has_key=bool(given or args.get("secret")),
                account=account is not None,
            ),
            variables={
                "MLFLOW_ARTIFACTS_DESTINATION": self.artifact_root,
                **client,
                **({"AWS_CA_BUNDLE": f"{FILES}/{_CA_FILE}"} if ca else {}),
            },
            files={_CA_FILE: ca} if ca else {},
            existing=[secret] if (secret := args.get("secret")) else [],
            service_account=account,
            retention=args.get("retention", {}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.client_env = pulumi.Output.all(**client)
        self.register_outputs(
            {
                "artifact_root": self.artifact_root,
                "endpoint_url": self.endpoint_url,
                "credentials": self.credentials,
                "client_env": self.client_env,
            }
        )


def _check_key(name: str, args: S3Args) -> None:
    """Refuse inputs that do not say which key is used.

    Raises:
        pulumi.RunError: if half of a key is given, or a key and a Secret.
    """
    given = [args.get(half) is not None for half in ("access_key_id", "secret_access_key")]
    if given[0] != given[1] or (given[0] and args.get("secret") is not None):
        raise pulumi.RunError(
            f"{name}: expected access_key_id with secret_access_key, or secret, or none of them"
        )


def _paths(endpoint: Path, *, has_key: bool, account: bool) -> list[Path]:
    """Return the paths to the endpoint, and to the servers from which boto3 gets a missing key."""
    paths = [endpoint]
    if has_key:
        return paths
    # A service account gets its key from EKS's agent on the node, or from STS; otherwise the node's
    # metadata server gives a key.
    of_pods = Path(networks("169.254.170.23/32"), tcp=[80])
    of_nodes = Path(networks("169.254.169.254/32"), tcp=[80])
    if account:
        return [*paths, of_pods, Path(endpoint.peers, tcp=[443])]
    return [*paths, of_nodes]
