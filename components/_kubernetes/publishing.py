"""Publishes a Service under a host name: by an Ingress or an HTTPRoute, without limits of size."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.arguments import checked
from .._kubernetes.grammars import GATEWAY, HOST, gateway, host_name
from .._kubernetes.labels import PART_OF_THE_STACK, metadata
from .._kubernetes.network_policies import Path, namespaces, policy

ARTIFACT_ANNOTATIONS = {
    # By default nginx refuses every body over 1 MB with 413: no model could be logged.
    "nginx.ingress.kubernetes.io/proxy-body-size": "0",
    # By default nginx keeps a whole upload on its disk before the server sees the first byte.
    "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
    # By default nginx writes downloads that the client takes slowly to its disk.
    "nginx.ingress.kubernetes.io/proxy-buffering": "off",
    # By default a large artifact ends in 504 after 60 s: the server fetches an artifact from the
    # store before it sends the first byte, and stores an artifact before it answers an upload.
    # A day, because Traefik counts from the beginning of an upload. nginx counts from its end.
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "86400",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "600",
}
"""Annotations of ingress-nginx, which Traefik's provider obeys too (docs/ingress.md).

Other controllers ignore them. Each comment says what happens without the annotation.
"""
HTTPS_ANNOTATIONS = {
    # Where the ConfigMap of ingress-nginx has `ssl-redirect: "false"`, passwords would be accepted
    # by plain HTTP.
    "nginx.ingress.kubernetes.io/ssl-redirect": "true",
}
"""More annotations of Ingresses with TLS."""


class IngressArgs(TypedDict):
    """How host names are published: by an Ingress each, or by a Gateway that exists."""

    class_name: NotRequired[str | None]
    """Ingress class. Defaults to the cluster's default class."""
    annotations: NotRequired[dict[str, str]]
    """Annotations of every Ingress. They replace the component's own of the same name. Defaults to
    none."""
    wait_seconds: NotRequired[int]
    """How long to wait for an address, in seconds. Defaults to 0, which does not wait."""
    gateway: NotRequired[str | None]
    """Gateway that publishes the host names instead of Ingresses: ``namespace/name`` or
    ``namespace/name/listener``. Defaults to none."""
    tls: NotRequired[bool]
    """Whether clients use HTTPS, and plain HTTP is redirected. With a Gateway, its listener has the
    certificate. Defaults to ``False``."""
    tls_secret: NotRequired[pulumi.Input[str] | None]
    """Name of a Secret with the certificate of all host names. Defaults to one Secret for each host
    name, which ``tls_issuer`` fills."""
    tls_issuer: NotRequired[str | None]
    """Name of cert-manager's ClusterIssuer that fills the Secrets. Defaults to none."""
    namespace: NotRequired[str]
    """Namespace of the controller's pods. Defaults to ``ingress-nginx``."""


def check_published(component: str, args: IngressArgs, **hosts: str) -> None:
    """Refuse host names that no Ingress can have, and a Gateway that is not named in full.

    Args:
        component: name of the component.
        args: the input ``ingress`` of the component.
        hosts: the host names, by the names of their inputs.

    Raises:
        pulumi.RunError: naming the component, the input, and what is accepted.
    """
    for key, host in hosts.items():
        checked(f"{component}.{key}", host, host_name, HOST)
    if named := args.get("gateway"):
        checked(f"{component}.ingress.gateway", named, gateway, GATEWAY)


def from_ingress(args: IngressArgs, *ports: int) -> Path:
    """Return the path from the ingress controller to these ports."""
    return Path(namespaces([args.get("namespace", "ingress-nginx")]), tcp=ports)


def let_solvers_in(
    args: IngressArgs, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> None:
    """Let the ingress controller reach cert-manager's solver pods.

    For ACME's HTTP-01, cert-manager makes such a pod in the stack's namespace for a minute. Label
    and port: pkg/apis/acme/v1/types.go and pkg/issuer/acme/http/http.go of cert-manager.
    """
    policy(
        "mlflow-solvers",
        namespace=namespace,
        labels=PART_OF_THE_STACK,
        applies_to={"acme.cert-manager.io/http01-solver": "true"},
        ingress=[from_ingress(args, 8089)],
        opts=opts,
    )


def public_url(args: IngressArgs, host: str) -> str:
    """Return the URL of a host name for clients outside the cluster."""
    return f"{'https' if args.get('tls') else 'http'}://{host}"


def publish(
    name: str,
    args: IngressArgs,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    host: str,
    path: str = "",
    service: pulumi.Input[str],
    port: int,
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Publish a port of ``service`` under ``host``, or under a path of it such as ``/mlflow``.

    Returns:
        The address that the ingress controller published. It is empty with a Gateway, and may be
        empty without ``wait_seconds``.
    """
    if named := args.get("gateway"):
        k8s.apiextensions.CustomResource(
            name,
            api_version="gateway.networking.k8s.io/v1",
            kind="HTTPRoute",
            metadata=metadata(name, namespace, labels),
            spec=_route(named, host, path, service, port),
            opts=opts,
        )
        return pulumi.Output.from_input("")
    wait = args.get("wait_seconds", 0)
    # By default, pulumi-kubernetes waits for status.loadBalancer. That would fail an installation
    # whose controller publishes no address, such as Traefik on minikube without a tunnel.
    patience = (
        {"pulumi.com/timeoutSeconds": str(wait)} if wait else {"pulumi.com/skipAwait": "true"}
    )
    annotations, secret = {**ARTIFACT_ANNOTATIONS}, args.get("tls_secret")
    if args.get("tls"):
        # A Secret for each Ingress: cert-manager refuses a Secret that two Ingresses name.
        secret = secret or f"{name}-tls"
        annotations |= HTTPS_ANNOTATIONS
        if issuer := args.get("tls_issuer"):
            annotations["cert-manager.io/cluster-issuer"] = issuer
    ingress = k8s.networking.v1.Ingress(
        name,
        metadata=metadata(
            name,
            namespace,
            labels,
            {**annotations, **args.get("annotations", {}), **patience},
        ),
        spec={
            "ingress_class_name": args.get("class_name"),
            "tls": [{"hosts": [host], "secret_name": secret}] if secret else None,
            "rules": [
                {
                    "host": host,
                    "http": {
                        "paths": [
                            {
                                "path": path or "/",
                                "path_type": "Prefix",
                                "backend": {"service": {"name": service, "port": {"number": port}}},
                            }
                        ]
                    },
                }
            ],
        },
        opts=opts,
    )
    address: pulumi.Output[str] = ingress.status.apply(_published_address)
    return address


def _route(
    named: str, host: str, path: str, service: pulumi.Input[str], port: int
) -> Mapping[str, pulumi.Input[Any]]:
    """Return the spec of an HTTPRoute: on all listeners of a Gateway, or on the one it names."""
    namespace, name, *listener = named.split("/")
    parent = {"namespace": namespace, "name": name}
    if listener:
        parent["sectionName"] = listener[0]
    # A time limit is for the whole request, and would cut off a large artifact. 0s means none, also
    # where the implementation has a default limit (Envoy: 15 s).
    rule: dict[str, pulumi.Input[Any]] = {
        "backendRefs": [{"name": service, "port": port}],
        "timeouts": {"request": "0s"},
    }
    if path:
        rule["matches"] = [{"path": {"type": "PathPrefix", "value": path}}]
    return {"parentRefs": [parent], "hostnames": [host], "rules": [rule]}


def _published_address(status: k8s.networking.v1.outputs.IngressStatus | None) -> str:
    """Return the first address in the status of an Ingress; empty if there is none."""
    balancer = status.load_balancer if status else None
    for entry in (balancer.ingress if balancer else None) or []:
        if address := entry.ip or entry.hostname:
            return address
    return ""
