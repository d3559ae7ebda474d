"""Calls of MLflow to other servers: which ones the network lets out, and how long a call takes.

A network policy drops packets without an answer. MLflow waits for a closed server: up to 300 s in a
call of the AI gateway, and some two minutes in a test of a webhook. MLflow also refuses every
private address, even those that the operator of the cluster has opened. Here a call to a closed
server is refused at once, a call to an open server is accepted, and a server that accepts no
connection is given up after seconds.
"""

import asyncio
import ipaddress
import json
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import DefaultResolver
from fastapi import HTTPException
from mlflow.exceptions import MlflowException
from mlflow.gateway import ssrf as gateway_ssrf
from mlflow.gateway.providers import utils as gateway
from mlflow.utils import validation
from mlflow.webhooks import delivery
from mlflow.webhooks import ssrf as webhook_ssrf
from requests.utils import should_bypass_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection

from mlflow_kubernetes import contract

# Linux repeats the first packet of a connection after 1 and 3 s, and gives up after 7 s.
_SYN_RETRIES = 2
_DNS_SECONDS = 5
_CLOSED = "no setting of mlflow:egress opens a way to it"
_resolve: Any = validation._resolve_hostname_with_timeout
_validate_hostname: Any = validation._validate_hostname_resolves_to_public_ips
_validate_webhook_url: Any = validation._validate_webhook_url
_create_webhook_session: Any = delivery._create_webhook_session
_post: Any = gateway._aiohttp_post


def install() -> None:
    """Replace MLflow's rules by the rules of this module."""
    # By default, neither webhooks nor aiohttp use the proxy that the environment names.
    delivery._create_webhook_session = _webhook_session
    aiohttp.ClientSession.__init__.__kwdefaults__["trust_env"] = True
    gateway_ssrf.build_ssrf_guarded_connector = _connector
    gateway._aiohttp_post = _post_or_tell
    if contract.EGRESS not in os.environ:
        return
    validation._validate_hostname_resolves_to_public_ips = _validate_name
    delivery._validate_webhook_url = _validate_open_webhook
    webhook_ssrf._SSRFProtectedHTTPConnection._new_conn = _connect  # type: ignore[method-assign]
    webhook_ssrf._SSRFProtectedHTTPSConnection._new_conn = _connect_for_tls  # type: ignore[method-assign]
    gateway_ssrf.assert_public_upstream_url = _assert_open_url


def closed(host: str, address: str) -> str | None:
    """Return why the server does not call ``host`` at this address; None if the server may."""
    ip = _ip(address)
    ways = json.loads(os.environ[contract.EGRESS])
    if any(ip in ipaddress.ip_network(way) for way in ways if "/" in way):
        return None
    if ip.is_global:
        return None if "internet" in ways else _told(host, address, "is in the internet")
    own = ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast
    if not own and _namespace(host) in {*ways} - {"internet"}:
        return None
    return _told(host, address, "is not a public address")


def _ip(address: str) -> Any:
    # An IPv6 address may embed an IPv4 address.
    return validation._embedded_ipv4(ipaddress.ip_address(address.partition("%")[0]))


def _is_public(address: str) -> bool:
    return bool(_ip(address).is_global)


def _told(host: str, address: str, kind: str) -> str:
    return f"{host} ({address}) {kind}: {_CLOSED}"


def _namespace(host: str) -> str | None:
    """Return the namespace in the name of a Service, as the cluster's DNS knows it."""
    name = host.rstrip(".").removesuffix(".cluster.local")
    parts = name.removesuffix(".svc").split(".")
    # Only a name that ends in .svc has the name of a pod before the name of the Service.
    return parts[-1] if len(parts) == 2 or (name.endswith(".svc") and len(parts) > 2) else None


def _proxied(scheme: str, host: str) -> bool:
    if not os.environ.get(f"{scheme}_proxy".upper()):
        return False
    url = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
    return not should_bypass_proxies(url, no_proxy=None)


def _validate_name(host: str, field: str) -> None:
    """Accept addresses that the network lets out. MLflow accepts public addresses only."""
    # The pod may be unable to resolve a name that the proxy resolves. The proxy decides then.
    proxied = any(_proxied(scheme, host) for scheme in ("https", "http"))
    if proxied and not validation._is_ip_literal_like(host):
        return
    try:
        found = {info[4][0] for info in _resolve(host, field)}
    except (OSError, UnicodeError, ValueError):
        _validate_hostname(host, field)  # raises MLflow's own message
        return
    for address in found:
        # A public address is accepted here. If it is closed, the call of it says so.
        if (reason := closed(host, address)) and not _is_public(address):
            raise MlflowException.invalid_parameter_value(f"{field}: {reason}")


def _validate_open_webhook(url: str) -> None:
    """Refuse a webhook whose address is closed."""
    _validate_webhook_url(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _proxied(parts.scheme, host):
        return
    for address in {info[4][0] for info in _resolve(host, "Webhook URL")}:
        if reason := closed(host, address):
            raise MlflowException.invalid_parameter_value(reason)


def _connect(connection: HTTPConnection) -> socket.socket:
    return _checked(connection, HTTPConnection._new_conn(connection))


def _connect_for_tls(connection: HTTPSConnection) -> socket.socket:
    return _checked(connection, HTTPSConnection._new_conn(connection))


def _checked(connection: HTTPConnection, made: socket.socket) -> socket.socket:
    """Return a webhook's connection; raise if the name now resolves to a closed address."""
    try:
        reason = closed(connection.host, made.getpeername()[0])
    except OSError as error:
        reason = str(error)
    if reason:
        made.close()
        raise webhook_ssrf.SSRFProtectionError(reason)
    return made


def _webhook_session() -> Any:
    session = _create_webhook_session()
    session.trust_env = True
    return session


def _assert_open_url(url: str) -> None:
    """Refuse a closed IP address in a URL. aiohttp does not show an IP address to a resolver."""
    host = urlsplit(url).hostname or ""
    if not validation._is_ip_literal_like(host) or _proxied(urlsplit(url).scheme, host):
        return
    try:
        reason = closed(host, host)
    except ValueError:
        reason = f"{host} is not an IP address as it is usually written"
    if reason:
        raise gateway_ssrf.GatewaySSRFProtectionError(reason)


@asynccontextmanager
async def _post_or_tell(*given: Any, **named: Any) -> AsyncGenerator[aiohttp.ClientResponse]:
    """Send a request to a provider. A failed connection is answered by 502, a timeout by 504."""
    try:
        async with _post(*given, **named) as response:
            yield response
    except TimeoutError as error:
        raise HTTPException(504, "the provider did not answer in time") from error
    except aiohttp.ClientConnectionError as error:
        raise HTTPException(502, f"the provider cannot be reached: {error}") from error


class _OpenResolver(AbstractResolver):
    """Returns addresses that the network lets out. aiohttp connects to no other addresses."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        # No way is open, so no name is resolved: DNS may be closed too.
        if not json.loads(os.environ[contract.EGRESS]):
            raise gateway_ssrf.GatewaySSRFProtectionError(f"{host} is not called: {_CLOSED}")
        async with asyncio.timeout(_DNS_SECONDS):
            found = await self._resolver.resolve(host, port, family)
        for one in found:
            if reason := closed(host, one["host"]):
                raise gateway_ssrf.GatewaySSRFProtectionError(reason)
        return [*found]

    async def close(self) -> None:
        await self._resolver.close()


def _connector() -> aiohttp.TCPConnector:
    resolver = _OpenResolver() if contract.EGRESS in os.environ else None
    return aiohttp.TCPConnector(resolver=resolver, socket_factory=_impatient)


def _impatient(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, _SYN_RETRIES)
    return made
