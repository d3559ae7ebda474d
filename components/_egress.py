"""Calls of the tracking server to servers other than its backends: which ways are open, proxies."""

import ipaddress
import json
import re
from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from ._kubernetes.grammars import LABEL
from ._kubernetes.labels import labels, metadata
from ._kubernetes.network_policies import CLOUDS, INTERNET, Path, namespaces, networks
from ._kubernetes.pods import FILES, Credentials
from ._kubernetes.retention import RetentionArgs, generated_password
from ._kubernetes.uris import fingerprint

INTERNET_NAME = "internet"
WAY = (
    '"internet", a network such as "192.0.2.0/24" or a namespace such as "models", and ":<port>" '
    "if need be; policies know no host names"
)
"""The texts that ``Way.parse`` accepts, in words."""
_CA_FILE = "egress-ca.pem"
# Names of the pod and of the cluster, which a proxy outside of the cluster cannot reach.
_NEVER_PROXIED = ("localhost", "127.0.0.1", "::1", ".svc", ".svc.cluster.local")


class EgressArgs(TypedDict):
    """Calls to servers other than the backends: webhooks, model providers, proxies."""

    ways: NotRequired[list[str]]
    """Ways out: each is ``internet``, a network as CIDR, an IPv4 address or a namespace's name, and
    ``:<port>`` if need be. Without a port, ``internet`` means port 443, and any other way every TCP
    port. Defaults to none."""
    https_proxy: NotRequired[pulumi.Input[str] | None]
    """URL of the proxy for calls by HTTPS. Defaults to none."""
    http_proxy: NotRequired[pulumi.Input[str] | None]
    """URL of the proxy for calls by plain HTTP. Defaults to none."""
    no_proxy: NotRequired[list[str]]
    """Hosts, and domains with a dot in front, that are called without a proxy, beside the
    cluster's own. Defaults to none."""
    ca: NotRequired[str | None]
    """Certificates to trust beside the public ones, as PEM. Defaults to none."""


class Way(NamedTuple):
    """A way out of the server's pod."""

    where: str
    """``internet``, a network as CIDR, or the name of a namespace."""
    port: int | None
    """TCP port of the server that is called; None means every port."""

    @classmethod
    def parse(cls, text: str) -> "Way":
        """Return the way that a text names, in the form of ``EgressArgs.ways``.

        Raises:
            ValueError: if the text names no way, or a network of a cloud's own addresses.
        """
        match = re.fullmatch(r"(?P<where>.+?)(:(?P<port>[1-9][0-9]{0,4}))?", text, re.ASCII)
        if not match:
            raise ValueError(text)
        where, port = match["where"], int(match["port"]) if match["port"] else None
        if port is not None and port > 65535:
            raise ValueError(text)
        if where == INTERNET_NAME:
            return cls(where, port or 443)
        if re.fullmatch(LABEL, where) and not where.isdecimal():
            return cls(where, port)
        if "/" not in where and ":" in where:  # IPv6: its last part may be a port or not
            raise ValueError(text)
        network = ipaddress.ip_network(where)
        clouds = [ipaddress.ip_network(one) for one in CLOUDS]
        if any(one.version == network.version and network.subnet_of(one) for one in clouds):  # type: ignore[arg-type]
            raise ValueError(text)
        return cls(str(network), port)

    @property
    def is_network(self) -> bool:
        """Whether the way leads to a network, and not to the internet or a namespace."""
        return "/" in self.where

    @property
    def path(self) -> Path:
        """The way as a path of a network policy."""
        if self.where == INTERNET_NAME:
            peers = INTERNET.peers
        elif self.is_network:
            peers = networks(self.where, without=CLOUDS)
        else:
            peers = namespaces([self.where])
        return Path(peers, tcp=[self.port] if self.port else [], any_tcp=self.port is None)


def ways_out(texts: Sequence[str]) -> list[Way]:
    """Return the ways that these texts name, without duplicates.

    Raises:
        ValueError: as ``Way.parse`` does.
    """
    return list(dict.fromkeys(map(Way.parse, texts)))


def egress_environment(ways: Sequence[Way]) -> dict[str, str]:
    """Return the variables that tell the server the open ways (images/mlflow, egress.py)."""
    environment = {
        "MLFLOW_KUBERNETES_EGRESS": json.dumps(list(dict.fromkeys(way.where for way in ways))),
        # By default a test of a webhook that nobody answers takes four times 30 s.
        "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "5",
        "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "1",
    }
    if any(way != (INTERNET_NAME, 443) for way in ways):
        # Within a cluster, and to port 80, few servers speak TLS.
        environment["MLFLOW_WEBHOOK_ALLOWED_SCHEMES"] = "https,http"
        environment["MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES"] = "https,http"
    return environment


def egress_credentials(
    name: str,
    args: EgressArgs,
    *,
    namespace: pulumi.Input[str],
    retention: RetentionArgs,
    opts: pulumi.ResourceOptions,
) -> list[Credentials]:
    """Make the Secrets with the proxies' addresses and the certificates, if there are any."""
    given = {"HTTPS_PROXY": args.get("https_proxy"), "HTTP_PROXY": args.get("http_proxy")}
    variables = {key: pulumi.Output.secret(one) for key, one in given.items() if one is not None}
    if variables:
        without = ",".join([*_NEVER_PROXIED, *args.get("no_proxy", [])])
        variables["NO_PROXY"] = pulumi.Output.from_input(without)
    files: dict[str, pulumi.Output[str]] = {}
    if ca := args.get("ca"):
        variables["MLFLOW_KUBERNETES_EGRESS_CA"] = pulumi.Output.from_input(f"{FILES}/{_CA_FILE}")
        files[_CA_FILE] = pulumi.Output.from_input(ca)
    if not variables:
        return []

    def secret(what: str, content: dict[str, pulumi.Output[str]]) -> pulumi.Output[str]:
        made = k8s.core.v1.Secret(
            f"{name}-{what}",
            metadata=metadata(f"{name}-{what}", namespace, labels(name, "mlflow", "egress")),
            string_data=content,
            opts=opts,
        )
        return pulumi.Output.from_input(made.metadata.name)

    # Without a salt, a password that a person chose could be guessed from its hash.
    salt = generated_password(f"{name}-egress-salt", 32, retention, opts)
    content = [*variables.values(), *files.values()]
    return [
        {
            "secret": secret("egress", variables),
            "files": [secret("egress-files", files)] if files else [],
            "fingerprint": fingerprint(salt, *variables, *content),
        }
    ]
