"""Bring MLflow up, from nothing to a tracking server that answers: `make up`."""

import base64
import http.client
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Mapping
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from commands.support import images, stack
from commands.support.console import CommandError, main, say

_PATIENCE_SECONDS = 120
# Most controllers limit a body to 1 MB by default. JSON allows any number of blanks.
_BODY = b'{"max_results": 1}' + b" " * 2_000_000


def command() -> None:
    """Find a cluster, put the images there, run `pulumi up`, and wait for the server.

    Raises:
        CommandError: if a setting is refused, or a step fails.
    """
    started = time.monotonic()
    chosen = stack.chosen()
    # On a fresh machine, minutes pass before the program can refuse a setting.
    settings = stack.settings(chosen.name)
    found = chosen.cluster
    say(f"bringing stack {chosen.name} up on {found.describe()}")
    found.start()
    images.provide(found, settings)
    chosen.up()

    outputs = chosen.outputs(secrets=True)
    uri, hosts_line = str(outputs["tracking_uri"]), str(outputs["hosts_line"])
    found.publish(hosts_line)
    authority = outputs.get("ca_certificate")
    wait(uri, address_in(hosts_line), authority, outputs["client_env"])
    print(_summary(chosen.name, outputs, time.monotonic() - started))


def wait(
    uri: str,
    address: str | None,
    authority: str | None = None,
    login: Mapping[str, str] | None = None,
) -> None:
    """Wait until the server answers a client through the ingress.

    Args:
        uri: the tracking URI.
        address: where the ingress is, if that is known.
        authority: certificate of the stack's own authority, if it has one.
        login: the environment of a client.

    Raises:
        CommandError: with the reason, if the server does not answer within two minutes.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    host = urlsplit(uri).hostname or ""
    problem = "no address is known for it"
    while time.monotonic() < deadline:
        for target in filter(None, (_resolve(host), address)):
            problem = _ask(uri, target, authority, login)
            if not problem:
                return
        time.sleep(1)
    raise CommandError(
        f"the stack is up, but {uri} does not answer through the ingress: {problem} "
        "(on minikube: `minikube addons enable ingress`, and where minikube runs in a virtual "
        "machine or in Docker Desktop, `minikube tunnel`)"
    )


def _ask(uri: str, target: str, authority: str | None, login: Mapping[str, str] | None) -> str:
    """Send the requests of a client and a browser to an address; return the problem, or nothing."""
    host, secure = urlsplit(uri).hostname or "", urlsplit(uri).scheme == "https"
    port = urlsplit(uri).port or (443 if secure else 80)
    connection = http.client.HTTPConnection(target, port, timeout=10)
    try:
        connection.connect()
        if secure:
            connection.sock = secured = _context(authority).wrap_socket(
                connection.sock, server_hostname=host
            )
            names = _names(secured)
            if not {host, f"*.{host.partition('.')[2]}"} & names:
                return f"{target}: its certificate is for {', '.join(sorted(names)) or 'nothing'}"
        problem = _wrong(connection, uri, login or {})
    except (OSError, ValueError, http.client.HTTPException) as error:
        problem = str(error) or type(error).__name__
    finally:
        connection.close()
    return f"{target}: {problem}" if problem else ""


def _wrong(connection: http.client.HTTPConnection, uri: str, login: Mapping[str, str]) -> str:
    parts = urlsplit(uri)
    headers = {"Host": parts.netloc, "Content-Type": "application/json"}
    if "MLFLOW_TRACKING_USERNAME" in login:
        pair = f"{login['MLFLOW_TRACKING_USERNAME']}:{login['MLFLOW_TRACKING_PASSWORD']}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    for method, path, body, expected in (
        ("GET", "/health", None, b"OK"),
        ("POST", "/api/2.0/mlflow/experiments/search", _BODY, b'"experiments"'),
        ("GET", "/", None, b"<html"),
    ):
        connection.request(method, f"{parts.path}{path}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        what = f"{method} {path}: HTTP {answer.status}"
        if answer.status != http.client.OK:
            words = " ".join(content.decode(errors="replace").split())
            where = answer.getheader("Location")
            return f"{what} {where or words}"[:200].strip()
        if expected not in content:
            return f"{what}, but not MLflow's answer: does mlflow:ingressAnnotations change paths?"
    return ""


def _context(authority: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority)
    if not authority:
        # Whom to trust is known to clients alone, and nothing secret is sent. But names are
        # compared: a controller shows a certificate of its own until it has the right one.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _names(connection: ssl.SSLSocket) -> set[str]:
    """Return the names in the certificate that the other side shows."""
    shown = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    try:
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return set(names.get_values_for_type(x509.DNSName))


def address_in(hosts_line: str) -> str | None:
    """Return the address in a line for /etc/hosts; None if the ingress has published none."""
    first = hosts_line.partition(" ")[0]
    try:
        return str(ipaddress.ip_address(first))
    except ValueError:
        return None


def _resolve(host: str) -> str | None:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return None


def _line_to_paste(hosts_line: str) -> str | None:
    """Return the line for /etc/hosts; None if all of its names resolve already."""
    address = address_in(hosts_line)
    known = address and all(_resolve(name) == address for name in hosts_line.split()[1:])
    return None if known else hosts_line


def _summary(stack_name: str, outputs: Mapping[str, Any], seconds: float) -> str:
    given = [(name, os.environ.get(name)) for name in ("CONTEXT", "STACK")]
    named = "".join(f" {name}={quote(value)}" for name, value in given if value)
    rows = [("tracking URI and UI", outputs["tracking_uri"])]
    if paste := _line_to_paste(str(outputs["hosts_line"])):
        rows.append(("add to /etc/hosts", paste))
    rows.append(("point a client at it", f'eval "$(make -s client-env{named})"'))
    if "add_user" in outputs:
        rows.append(
            ("log in", f"as the user and with the password that make -s client-env{named} shows")
        )
        shown = f"$(pulumi stack output add_user --stack {stack_name}) NAME"
        rows.append(("let somebody else in", f'eval "$(make -s env{named})"; {shown}'))
    if "workspace_url" in outputs:
        shown = f"pulumi stack output workspace_token --show-secrets --stack {stack_name}"
        rows.append(("JupyterLab", outputs["workspace_url"]))
        rows.append(("its token", f'eval "$(make -s env{named})"; {shown}'))
    rows.append(("see it, stop it", f"make status{named}, make down{named}"))
    lines = [f"  {what:<22}{value}" for what, value in rows]
    minutes, seconds = divmod(round(seconds), 60)
    took = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return "\n".join(["", f"MLflow is up, after {took}.", *lines])


if __name__ == "__main__":
    main(command)
