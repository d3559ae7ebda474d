"""The site as nginx's configuration: text in, text out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lab.ingress.rules import Location, Server, Upstream

FALLBACK_CERTIFICATE = "certificates/fallback.pem"


@dataclass(frozen=True)
class Listen:
    """Where nginx listens."""

    address: str
    http: int = 80
    https: int = 443
    source: str = ""
    """Where it asks its upstreams from; empty leaves it to the kernel."""


# Every path is relative to nginx's prefix, so no character of a user's folder needs quoting.
# Values are ingress-nginx's, where its users can see them; sizes are a single node's.
_HEAD = """\
daemon off;
{user}worker_processes 1;
worker_shutdown_timeout 240s;
pid nginx.pid;
error_log stderr error;

events {{
    worker_connections 1024;
}}

http {{
    access_log logs/access.log;
    client_body_temp_path temporary/body;
    proxy_temp_path temporary/proxy;
    fastcgi_temp_path temporary/fastcgi;
    uwsgi_temp_path temporary/uwsgi;
    scgi_temp_path temporary/scgi;
    default_type text/html;
    server_tokens off;
    # A host name has up to 253 characters.
    server_names_hash_bucket_size 512;
    server_names_hash_max_size 1024;
    proxy_headers_hash_bucket_size 128;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:TLS:1m;
    ssl_session_tickets off;

    map $http_upgrade $connection_upgrade {{
        default upgrade;
        "" "";
    }}
    map $http_host $asked_host {{
        default $http_host;
        "" $host;
    }}
    map $http_x_request_id $request_name {{
        default $http_x_request_id;
        "" $request_id;
    }}

    # What a client says about itself is kept aside: only this server is believed.
    proxy_set_header Host $asked_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Request-ID $request_name;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $asked_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Scheme $scheme;
    proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
    proxy_set_header X-Original-Forwarded-Host $http_x_forwarded_host;
    # httpoxy: no program behind us may take a client's header for its proxy.
    proxy_set_header Proxy "";
    proxy_http_version 1.1;
    proxy_redirect off;
    proxy_next_upstream error timeout;
    proxy_next_upstream_tries 3;
"""

# max_fails: an endpoint's readiness is for Kubernetes to judge, not for a failed request.
_UPSTREAM = """
    upstream {name} {{
{endpoints}
        keepalive 32;
        keepalive_timeout 60s;
        keepalive_requests 10000;
    }}
"""

_SERVER = """
    server {{
        listen {address}:{http}{default};
        listen {address}:{https} ssl http2{default};
        server_name {name};
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
{locations}
    }}
"""


def render(
    servers: Iterable[Server], certificates: Mapping[str, str], listen: Listen, *, root: bool
) -> str:
    """Write the configuration; certificates maps a Secret's name to a file in nginx's prefix."""
    servers = list(servers)
    # The cache folder is its owner's alone: a worker of another user could not buffer bodies there.
    parts = [_HEAD.format(user="user root;\n" if root else "")]
    if listen.source:
        parts.append(f"    proxy_bind {listen.source};\n")
    upstreams = {
        location.upstream.name: location.upstream
        for server in servers
        for location in server.locations.values()
        if location.upstream.endpoints
    }
    parts += [_upstream(upstreams[name]) for name in sorted(upstreams)]
    parts += [_server(server, certificates, listen) for server in servers]
    return "".join([*parts, "}\n"])


def _upstream(upstream: Upstream) -> str:
    lines = [f"        server {endpoint} max_fails=0;" for endpoint in upstream.endpoints]
    return _UPSTREAM.format(name=upstream.name, endpoints="\n".join(lines))


def _server(server: Server, certificates: Mapping[str, str], listen: Listen) -> str:
    locations = [
        _location(match, _directives(location, tls=server.tls))
        for match, location in sorted(server.locations.items())
    ]
    if '"/"' not in server.locations:
        locations.append(_location('"/"', ["return 404;"]))
    if not server.host and '= "/healthz"' not in server.locations:
        locations.append(_location('= "/healthz"', ["access_log off;", "return 200;"]))
    return _SERVER.format(
        address=listen.address,
        http=listen.http,
        https=listen.https,
        default="" if server.host else " default_server",
        name=_server_name(server.host),
        certificate=certificates.get(server.secret, FALLBACK_CERTIFICATE),
        locations="\n".join(locations),
    )


def _server_name(host: str) -> str:
    if host.startswith("*."):
        # Kubernetes' wildcard is one label; nginx's own would take any number.
        rest = host.removeprefix("*.").replace(".", "\\.")
        return f'"~^[a-z0-9-]+\\.{rest}$"'
    return f'"{host or "_"}"'


def _location(match: str, directives: Iterable[str]) -> str:
    body = "\n".join(f"            {directive}" for directive in directives)
    return f"        location {match} {{\n{body}\n        }}"


def _directives(location: Location, *, tls: bool) -> Iterator[str]:
    options, upstream = location.options, location.upstream
    # First, so that a large request to a Service without endpoints gets 503 and not 413.
    yield f"client_max_body_size {options.body_size};"
    if options.force_ssl_redirect == "true" or (tls and options.ssl_redirect == "true"):
        yield "if ($scheme = http) { return 308 https://$host$request_uri; }"
    if not upstream.endpoints:
        yield "return 503;"
        return
    yield f"proxy_request_buffering {options.request_buffering};"
    yield f"proxy_buffering {options.buffering};"
    yield f"proxy_connect_timeout {options.connect_timeout}s;"
    yield f"proxy_send_timeout {options.send_timeout}s;"
    yield f"proxy_read_timeout {options.read_timeout}s;"
    yield f"proxy_pass {options.protocol}://{upstream.name};"
