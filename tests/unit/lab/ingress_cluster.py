"""Objects of a cluster, as short as a test can say them."""

import base64
from pathlib import Path
from typing import Any

from lightkube.resources.core_v1 import Secret, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.networking_v1 import Ingress, IngressClass

from lab.ingress.rules import ANNOTATION, CONTROLLER, Cluster


def cluster(*objects: Any) -> Cluster:
    """A cluster that holds these objects, and the class `nginx`."""
    everything = [*objects, ingress_class("nginx", CONTROLLER)]
    kinds = (Ingress, IngressClass, Service, EndpointSlice, Secret)
    return Cluster(*([item for item in everything if isinstance(item, kind)] for kind in kinds))


def ingress_class(name: str, controller: str) -> Any:
    return IngressClass.from_dict({"metadata": {"name": name}, "spec": {"controller": controller}})


def ingress(
    name: str,
    *paths: tuple[str, str, str],
    created: int = 0,
    tls: list[dict[str, Any]] | None = None,
    default: str = "",
    class_name: str | None = "nginx",
    raw_annotations: dict[str, str] | None = None,
    **annotations: Any,
) -> Any:
    """An Ingress of (`host/path`, path type, `service:port`) rules; annotations in snake case."""
    named = {ANNOTATION + key.replace("_", "-"): value for key, value in annotations.items()}
    rules = []
    for where, kind, backend in paths:
        host, slash, path = where.partition("/")
        entry = {"path": slash + path, "pathType": kind, "backend": _backend(backend)}
        rules.append({**({"host": host} if host else {}), "http": {"paths": [entry]}})
    spec = {
        **({"ingressClassName": class_name} if class_name else {}),
        **({"defaultBackend": _backend(default)} if default else {}),
        "rules": rules,
        "tls": tls or [],
    }
    metadata = {
        "namespace": "default",
        "name": name,
        "uid": name,
        "annotations": {**named, **(raw_annotations or {})},
        "creationTimestamp": f"2026-01-01T00:00:{created:02}Z",
    }
    return Ingress.from_dict({"metadata": metadata, "spec": spec})


def _backend(text: str) -> dict[str, Any]:
    name, _, port = text.partition(":")
    return {
        "service": {
            "name": name,
            "port": {"number": int(port)} if port.isdigit() else {"name": port},
        }
    }


def service(name: str, *endpoints: str, port: int = 80, port_name: str = "http") -> list[Any]:
    """A Service and a slice with its endpoints; one that starts with `!` is not ready."""
    metadata = {"namespace": "default", "name": name}
    ports = [{"port": port, "name": port_name}]
    slices = []
    for number, endpoint in enumerate(endpoints):
        address, _, target = endpoint.removeprefix("!").partition(":")
        ready = {"conditions": {"ready": False}} if endpoint.startswith("!") else {}
        slices.append(
            EndpointSlice.from_dict(
                {
                    "metadata": {
                        "namespace": "default",
                        "name": f"{name}-{number}",
                        "labels": {"kubernetes.io/service-name": name},
                    },
                    "addressType": "IPv4",
                    "ports": [{"name": port_name, "port": int(target)}],
                    "endpoints": [{"addresses": [address], **ready}],
                }
            )
        )
    return [Service.from_dict({"metadata": metadata, "spec": {"ports": ports}}), *slices]


def tls_secret(name: str, certificate: Path, key: Path) -> Any:
    files = {"tls.crt": certificate, "tls.key": key}
    data = {part: base64.b64encode(path.read_bytes()).decode() for part, path in files.items()}
    return Secret.from_dict({"metadata": {"namespace": "default", "name": name}, "data": data})
