"""The one way a host name is published: for a Service, with room for artifacts, TLS where asked."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

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
    # A day, for Traefik counts from an upload's beginning; nginx counts from its end.
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "86400",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "600",
}
"""Annotations of ingress-nginx, which Traefik's provider for them heeds too (docs/ingress.md).

Other controllers ignore them. Each comment says what happens without the annotation.
"""
HTTPS_ANNOTATIONS = {
    # By default plain HTTP is served as well, passwords and all, wherever a cluster's nginx was
    # told `ssl-redirect: "false"`.
    "nginx.ingress.kubernetes.io/ssl-redirect": "true",
}
"""Likewise, where there is TLS."""


class IngressArgs(TypedDict):
    """How host names are published: by an Ingress each, or by a Gateway of somebody else's."""

    class_name: NotRequired[str | None]
    """Ingress class. Defaults to the cluster's default class."""
    annotations: NotRequired[dict[str, str]]
    """Annotations added to every Ingress; they win over ours. Defaults to none."""
    wait_seconds: NotRequired[int]
    """How long to wait for an address, in seconds. Defaults to 0, which does not wait."""
    gateway: NotRequired[str | None]
    """Gateway that takes the Ingresses' place: ``namespace/name``, or ``namespace/name/listener``.
    Defaults to none."""
    tls: NotRequired[bool]
    """Whether clients come by HTTPS, and those that do not are sent there. Defaults to ``False``;
    with a Gateway, its listener has the certificate."""
    tls_secret: NotRequired[pulumi.Input[str] | None]
    """Secret with the certificate of all host names. Defaults to one for each, by its issuer."""
    tls_issuer: NotRequired[str | None]
    """ClusterIssuer of cert-manager that fills them. Defaults to none."""
    namespace: NotRequired[str]
    """Namespace of the controller's pods. Defaults to ``ingress-nginx``."""


def from_ingress(args: IngressArgs, *ports: int) -> Path:
    """Return the controller's path to what is published."""
    return Path(namespaces([args.get("namespace", "ingress-nginx")]), tcp=ports)


def let_solvers_in(
    args: IngressArgs, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> None:
    """Let the controller reach the pods with which cert-manager shows that a host name is ours.

    They are its own, in the stack's namespace, for a minute at a time (ACME's HTTP-01); label and
    port are in its pkg/apis/acme/v1/types.go and pkg/issuer/acme/http/http.go.
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
    """Return where clients outside the cluster find what is published under ``host``."""
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
        The address that an ingress controller published; empty when it was not waited for.
    """
    if gateway := args.get("gateway"):
        k8s.apiextensions.CustomResource(
            name,
            api_version="gateway.networking.k8s.io/v1",
            kind="HTTPRoute",
            metadata=metadata(name, namespace, labels),
            spec=_route(gateway, host, path, service, port),
            opts=opts,
        )
        return pulumi.Output.from_input("")
    wait = args.get("wait_seconds", 0)
    # Where nothing publishes an address (Traefik on minikube without a tunnel), waiting for one
    # would fail an installation that works: pulumi-kubernetes waits for status.loadBalancer.
    patience = (
        {"pulumi.com/timeoutSeconds": str(wait)} if wait else {"pulumi.com/skipAwait": "true"}
    )
    annotations, secret = {**ARTIFACT_ANNOTATIONS}, args.get("tls_secret")
    if args.get("tls"):
        # Each with a Secret of its own where cert-manager fills it: it refuses one that two share.
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
    gateway: str, host: str, path: str, service: pulumi.Input[str], port: int
) -> Mapping[str, pulumi.Input[Any]]:
    """Return the HTTPRoute's spec: on a whole Gateway, or on the one listener that has TLS."""
    namespace, name, *listener = gateway.split("/")
    parent = {"namespace": namespace, "name": name}
    if listener:
        parent["sectionName"] = listener[0]
    # A limit would be for a whole exchange, so that a large artifact is cut off; 0s is none,
    # against an implementation's own (Envoy's is 15 s).
    rule: dict[str, pulumi.Input[Any]] = {
        "backendRefs": [{"name": service, "port": port}],
        "timeouts": {"request": "0s"},
    }
    if path:
        rule["matches"] = [{"path": {"type": "PathPrefix", "value": path}}]
    return {"parentRefs": [parent], "hostnames": [host], "rules": [rule]}


def _published_address(status: k8s.networking.v1.outputs.IngressStatus | None) -> str:
    """Return the first address in an Ingress's status, or nothing if there is none yet."""
    balancer = status.load_balancer if status else None
    for entry in (balancer.ingress if balancer else None) or []:
        if address := entry.ip or entry.hostname:
            return address
    return ""
