"""What the cluster's Ingress objects ask for, checked and merged into one plain description.

Rules follow ingress-nginx 1.15, whose users the lab's users will be. Nothing here talks to anyone.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

# The client's types call nearly every field optional; what Kubernetes requires, its API server has
# already seen to.
Ingress: TypeAlias = Any
IngressClass: TypeAlias = Any
Service: TypeAlias = Any
EndpointSlice: TypeAlias = Any
Secret: TypeAlias = Any
Backend: TypeAlias = Any

CONTROLLER = "k8s.io/ingress-nginx"
ANNOTATION = "nginx.ingress.kubernetes.io/"

# These reach the configuration's text, so nothing that nginx could read as syntax gets through.
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_UPSTREAM = re.compile(r"[a-z0-9_-]+")
_PATH = re.compile(r"/[A-Za-z0-9._/-]*")


@dataclass(frozen=True)
class Options:
    """How one Ingress wants its requests passed on; the defaults are those of ingress-nginx."""

    body_size: str = "1m"
    request_buffering: str = "on"
    buffering: str = "off"
    connect_timeout: str = "5"
    send_timeout: str = "60"
    read_timeout: str = "60"
    protocol: str = "http"
    ssl_redirect: str = "true"
    force_ssl_redirect: str = "false"


@dataclass(frozen=True)
class _Accepted:
    """The values an annotation takes, and the option it sets."""

    option: str
    values: str
    words: str


_SECONDS = ("[0-9]+", "a number of seconds")
_SWITCH = ("on|off", "on or off")
_BOOLEAN = ("true|false", "true or false")
_ANNOTATIONS = {
    "proxy-body-size": _Accepted("body_size", "[0-9]+[kmg]?", "a size like 10m, or 0 for no limit"),
    "proxy-request-buffering": _Accepted("request_buffering", *_SWITCH),
    "proxy-buffering": _Accepted("buffering", *_SWITCH),
    "proxy-connect-timeout": _Accepted("connect_timeout", *_SECONDS),
    "proxy-send-timeout": _Accepted("send_timeout", *_SECONDS),
    "proxy-read-timeout": _Accepted("read_timeout", *_SECONDS),
    "backend-protocol": _Accepted("protocol", "https?", "HTTP or HTTPS"),
    "ssl-redirect": _Accepted("ssl_redirect", *_BOOLEAN),
    "force-ssl-redirect": _Accepted("force_ssl_redirect", *_BOOLEAN),
}


@dataclass(frozen=True)
class Upstream:
    """A port of a Service, and the ready endpoints behind it."""

    name: str
    endpoints: tuple[str, ...]


@dataclass(frozen=True)
class Location:
    """What happens to the requests of one path."""

    upstream: Upstream
    options: Options


@dataclass
class Server:
    """One host name; the empty one stands for every host that no other server names."""

    host: str
    tls: bool = False
    secret: str = ""
    locations: dict[str, Location] = field(default_factory=dict)
    """Keyed by what nginx calls the location: ``"/path"``, or ``= "/path"`` for an exact one."""


@dataclass(frozen=True)
class Report:
    """One thing to tell the owner of an Ingress."""

    ingress: Ingress
    reason: str
    message: str


@dataclass
class Site:
    """All that is to be served."""

    servers: list[Server]
    served: list[Ingress]
    reports: list[Report]


@dataclass(frozen=True)
class Cluster:
    """The objects of the cluster that matter here, as they were seen at one moment."""

    ingresses: list[Ingress]
    classes: list[IngressClass]
    services: list[Service]
    slices: list[EndpointSlice]
    secrets: list[Secret]


class RefusedError(ValueError):
    """This Ingress cannot be served; the message says why."""


@dataclass(frozen=True)
class _Route:
    host: str
    path: str
    kind: str
    location: Location


def name_of(thing: Any) -> str:
    """Return the namespace and name of an object, as ``namespace/name``."""
    return f"{thing.metadata.namespace}/{thing.metadata.name}"


def ours(cluster: Cluster) -> list[Ingress]:
    """Return the Ingresses of our class, oldest first: the older one wins a path both want."""
    classes = {
        item.metadata.name
        for item in cluster.classes
        if item.spec and item.spec.controller == CONTROLLER
    }

    def chosen(ingress: Ingress) -> bool:
        legacy = (ingress.metadata.annotations or {}).get("kubernetes.io/ingress.class")
        name = ingress.spec.ingressClassName or legacy
        # minikube's addon also takes those that name no class.
        return name is None or name in classes

    def age(ingress: Ingress) -> tuple[str, str]:
        return str(ingress.metadata.creationTimestamp or ""), name_of(ingress)

    return sorted(filter(chosen, cluster.ingresses), key=age)


def build(ingresses: Iterable[Ingress], cluster: Cluster) -> Site:
    """Merge Ingresses, oldest first, into one site; one that cannot be served is left out whole."""
    site = Site(servers=[], served=[], reports=[])
    servers: dict[str, Server] = {"": Server("")}
    owners: dict[tuple[str, str, str], str] = {}
    routes: list[_Route] = []
    defaults: list[_Route] = []
    for ingress in ingresses:
        try:
            options = _options(ingress)
            wanted = list(_routes(ingress, options, cluster))
            fallback = list(_default_routes(ingress, options, cluster, wanted))
        except RefusedError as error:
            site.reports.append(Report(ingress, "Rejected", f"not served: {error}"))
            continue
        site.served.append(ingress)
        site.reports += _ignored(ingress)
        for route in wanted:
            owner = owners.setdefault((route.host, route.kind, route.path), name_of(ingress))
            if owner != name_of(ingress):
                where = f"{route.host or '*'}{route.path}"
                message = f"{where} is left to {owner}, which was there first"
                site.reports.append(Report(ingress, "Ignored", message))
        routes += wanted
        defaults += fallback
        for host in {route.host for route in (*wanted, *fallback)}:
            server = servers.setdefault(host, Server(host))
            if not server.tls:
                server.tls, server.secret = _tls(ingress, host)
    # An Exact path wins over the same path as a Prefix, whoever was first.
    for route in [*sorted(routes, key=lambda route: route.kind != "Exact"), *defaults]:
        for match in _matches(route.path, route.kind):
            servers[route.host].locations.setdefault(match, route.location)
    site.servers = [servers[host] for host in sorted(servers)]
    return site


def _options(ingress: Ingress) -> Options:
    options = Options()
    for name, accepted in _ANNOTATIONS.items():
        value = (ingress.metadata.annotations or {}).get(ANNOTATION + name, "").strip().lower()
        if value and not re.fullmatch(accepted.values, value):
            raise RefusedError(f"annotation {ANNOTATION}{name}: expected {accepted.words}")
        if value:
            options = replace(options, **{accepted.option: value})
    return options


def _ignored(ingress: Ingress) -> Iterator[Report]:
    for annotation in sorted(ingress.metadata.annotations or {}):
        if annotation.startswith(ANNOTATION) and annotation[len(ANNOTATION) :] not in _ANNOTATIONS:
            yield Report(ingress, "Ignored", f"annotation {annotation} has no effect in the lab")


def _routes(ingress: Ingress, options: Options, cluster: Cluster) -> Iterator[_Route]:
    for rule in ingress.spec.rules or []:
        host = rule.host or ""
        if host and not _HOST.fullmatch(host):
            raise RefusedError(f"host {host!r}: expected a DNS name")
        for path in rule.http.paths if rule.http else []:
            if not _PATH.fullmatch(path.path or "/"):
                message = f"path {path.path!r}: expected / and letters, digits, dots, dashes"
                raise RefusedError(message)
            location = Location(_upstream(ingress, path.backend, options, cluster), options)
            yield _Route(host, path.path or "/", path.pathType, location)


def _default_routes(
    ingress: Ingress, options: Options, cluster: Cluster, routes: list[_Route]
) -> Iterator[_Route]:
    """Send what no path takes to the Ingress's default backend, on each host it names."""
    backend = ingress.spec.defaultBackend
    if backend is None:
        return
    location = Location(_upstream(ingress, backend, options, cluster), options)
    for host in sorted({route.host for route in routes} or {""}):
        yield _Route(host, "/", "Prefix", location)


def _matches(path: str, kind: str) -> list[str]:
    if kind == "Exact":
        return [f'= "{path}"']
    if kind == "Prefix" and path.strip("/"):
        # By whole elements: /a takes /a and /a/b, never /ab.
        stem = path.rstrip("/")
        return [f'= "{stem}"', f'"{stem}/"']
    return [f'"{path}"']


def _tls(ingress: Ingress, host: str) -> tuple[bool, str]:
    """Say whether this Ingress wants TLS for a host, and with which Secret."""
    for tls in ingress.spec.tls or []:
        # A wildcard stands for exactly one label.
        names = {host, f"*.{host.partition('.')[2]}"}
        if not tls.hosts or names & set(tls.hosts):
            secret = f"{ingress.metadata.namespace}/{tls.secretName}" if tls.secretName else ""
            return True, secret
    return False, ""


def _upstream(ingress: Ingress, backend: Backend, options: Options, cluster: Cluster) -> Upstream:
    if backend.service is None or backend.service.port is None:
        raise RefusedError("a backend is no port of a Service, and nothing else can be one here")
    namespace, service = ingress.metadata.namespace, backend.service
    port = service.port.name or service.port.number
    # The protocol is in the name because nginx keeps idle connections by upstream and address only.
    name = f"{namespace}_{service.name}_{port}_{options.protocol}"
    if not _UPSTREAM.fullmatch(name):
        raise RefusedError(f"backend {service.name!r}, port {port!r}: expected names of Kubernetes")
    return Upstream(name, _endpoints(namespace, service, cluster))


def _endpoints(namespace: str, backend: Backend, cluster: Cluster) -> tuple[str, ...]:
    """Return the ready endpoints behind a port of a Service; none when there is no such port."""
    wanted = backend.port
    names = {
        port.name or ""
        for service in cluster.services
        if name_of(service) == f"{namespace}/{backend.name}"
        for port in service.spec.ports or []
        if (port.name == wanted.name if wanted.name else port.port == wanted.number)
    }
    slices = [
        item
        for item in cluster.slices
        if item.metadata.namespace == namespace
        and (item.metadata.labels or {}).get("kubernetes.io/service-name") == backend.name
        and item.addressType == "IPv4"
    ]
    endpoints = {
        f"{ipaddress.IPv4Address(address)}:{port.port}"
        for item in slices
        for port in item.ports or []
        if port.port and (port.name or "") in names
        for endpoint in item.endpoints or []
        if endpoint.conditions is None or endpoint.conditions.ready is not False
        for address in endpoint.addresses
    }
    return tuple(sorted(endpoints))
