"""The one shape of Ingress that the stack uses: a host name, a Service, and room for artifacts."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components._labels import metadata

ARTIFACT_ANNOTATIONS = {
    # Without it nginx refuses every body over 1 MB with 413: no model could be logged.
    "nginx.ingress.kubernetes.io/proxy-body-size": "0",
    # Without it nginx keeps a whole upload on its own disk before the server sees the first byte.
    "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
    # Without it nginx writes downloads that the client takes slowly to its own disk.
    "nginx.ingress.kubernetes.io/proxy-buffering": "off",
    # Without them a large artifact ends in 504 after 60 s: the server fetches it from the store
    # before it sends the first byte, and stores it before it answers an upload.
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "600",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "600",
}
"""Annotations for nginx; other controllers ignore them. Each comment says what breaks without."""


class IngressArgs(TypedDict):
    """How host names are published."""

    class_name: NotRequired[str | None]
    """Ingress class. Defaults to the cluster's default class."""
    annotations: NotRequired[dict[str, str]]
    """Annotations added to every Ingress; they win over ours. Defaults to none."""
    wait_seconds: NotRequired[int]
    """How long to wait for an address, in seconds. Defaults to 0, which does not wait."""


def http_ingress(
    name: str,
    args: IngressArgs,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    host: pulumi.Input[str],
    service: pulumi.Input[str],
    port: str,
    opts: pulumi.ResourceOptions,
) -> k8s.networking.v1.Ingress:
    """Publish the named ``port`` of ``service`` under ``host``."""
    wait = args.get("wait_seconds", 0)
    # Where nothing publishes an address (Traefik on minikube without a tunnel), waiting for one
    # would fail an installation that works: pulumi-kubernetes waits for status.loadBalancer.
    patience = (
        {"pulumi.com/timeoutSeconds": str(wait)} if wait else {"pulumi.com/skipAwait": "true"}
    )
    return k8s.networking.v1.Ingress(
        name,
        metadata=metadata(
            name,
            namespace,
            labels,
            {**ARTIFACT_ANNOTATIONS, **args.get("annotations", {}), **patience},
        ),
        spec={
            "ingress_class_name": args.get("class_name"),
            "rules": [
                {
                    "host": host,
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "path_type": "Prefix",
                                "backend": {"service": {"name": service, "port": {"name": port}}},
                            }
                        ]
                    },
                }
            ],
        },
        opts=opts,
    )
