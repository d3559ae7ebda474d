"""Computes who reaches whom under network policies, by Kubernetes' rules.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Policy = Mapping[str, Any]
"""A NetworkPolicy as a manifest."""


class Port(NamedTuple):
    """What a connection is made to."""

    number: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.number}" if self.protocol == "TCP" else f"{self.number}/udp"


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod, or an address that is nobody's pod."""

    name: str
    address: str
    namespace: str = ""
    """Empty for what is not a pod."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


def open_ports(
    source: End, target: End, ports: Iterable[Port], policies: Sequence[Policy]
) -> list[Port]:
    """Return the ports at which a connection is let out of its source, and into its target."""
    out = _rules(source, policies, "Egress", target)
    into = _rules(target, policies, "Ingress", source)
    return [port for port in ports if all(_any(rules, port) for rules in (out, into))]


def _rules(
    pod: End, policies: Sequence[Policy], direction: str, peer: End
) -> list[Mapping[str, Any]] | None:
    """Return the rules for a pod that let its peer through; None where no policy applies to it."""
    chosen = [
        policy["spec"]
        for policy in policies
        if pod.namespace
        and policy["metadata"]["namespace"] == pod.namespace
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    side = {"Egress": "to", "Ingress": "from"}[direction]
    rules = [
        rule
        for spec in chosen
        for rule in spec.get(direction.lower()) or []
        if _lists_peer(rule.get(side), peer, pod.namespace)
    ]
    return rules if chosen else None


def _any(rules: Sequence[Mapping[str, Any]] | None, port: Port) -> bool:
    return rules is None or any(_lists_port(rule.get("ports"), port) for rule in rules)


def _lists_port(ports: Sequence[Mapping[str, Any]] | None, port: Port) -> bool:
    # Nor an endPort, which would open more than is worked out here.
    assert all(one.keys() <= {"port", "protocol"} for one in ports or []), ports
    # An empty list is no list: everything.
    return not ports or any(
        one.get("protocol", "TCP") == port.protocol
        and ("port" not in one or one["port"] == port.number)
        for one in ports
    )


def _lists_peer(peers: Iterable[Mapping[str, Any]] | None, peer: End, namespace: str) -> bool:
    return not peers or any(_is(one, peer, namespace) for one in peers)


def _is(wanted: Mapping[str, Any], peer: End, namespace: str) -> bool:
    if block := wanted.get("ipBlock"):
        address = ipaddress.ip_address(peer.address)
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(one) for one in block.get("except", [])
        )
    if not peer.namespace:
        return False
    if "namespaceSelector" in wanted:
        named = {"kubernetes.io/metadata.name": peer.namespace}
        if not selects(wanted["namespaceSelector"], named):
            return False
    elif peer.namespace != namespace:
        return False
    return selects(wanted.get("podSelector", {}), peer.labels)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a label selector picks these labels; the stack's are all of this one form."""
    assert set(selector) <= {"matchLabels"}, selector
    return dict(selector.get("matchLabels", {})).items() <= labels.items()
