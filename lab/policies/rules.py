"""From the policies and pods of a cluster to the kernel's packet filter: objects in, text out.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TABLE = "mlflow-lab-policies"

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Pod:
    """A pod with an address, or what stands for one."""

    namespace: str
    labels: Labels = field(hash=False)
    address: str
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict, hash=False)
    """Numbers of the ports by name and protocol."""
    only: frozenset[tuple[str, int]] | None = None
    """Protocols and ports of a process of the node, which shares the node's address."""


@dataclass(frozen=True)
class Cluster:
    """What decides who may reach whom."""

    policies: Sequence[Any]
    namespaces: Mapping[str, Labels]
    pods: Sequence[Pod]
    range: str
    """Addresses of pods: one that is no pod's yet is let through nowhere."""


def render(cluster: Cluster, node_pods: Sequence[Pod]) -> str:
    """Return what `nft -f` makes true at once; `node_pods` are those that the node stands for.

    A chain for each direction of each pod that a policy applies to: it returns what a policy lets
    through, and refuses the rest in a way that a program is told of at once.
    """
    chains: list[str] = []
    verdicts: dict[str, list[str]] = {"Egress": [], "Ingress": []}
    everyone = [*cluster.pods, *node_pods]
    for pod in cluster.pods:
        for direction, found in verdicts.items():
            policies = [one for one in cluster.policies if _applies(one, pod, direction)]
            if policies:
                name = f"{direction.lower()}-{pod.address}"
                rules = [
                    line
                    for policy in policies
                    for line in _rules(policy, pod, direction, cluster.namespaces, everyone)
                ]
                chains.append(_chain(name, pod, direction, rules))
                found.append(f"{pod.address} : jump {name}")
    strangers = f"ip {{}} {cluster.range} ip {{}} != @pods drop"
    lines = [
        f"table ip {TABLE}",
        f"delete table ip {TABLE}",
        f"table ip {TABLE} {{",
        f"set pods {{ type ipv4_addr; {_elements(pod.address for pod in cluster.pods)}}}",
        f"map egress {{ type ipv4_addr : verdict; {_elements(verdicts['Egress'])}}}",
        f"map ingress {{ type ipv4_addr : verdict; {_elements(verdicts['Ingress'])}}}",
        *chains,
        "chain between {",
        "type filter hook forward priority filter; policy accept;",
        "ct state established,related accept",
        strangers.format("saddr", "saddr"),
        strangers.format("daddr", "daddr"),
        "ip saddr vmap @egress",
        "ip daddr vmap @ingress",
        "}",
        "chain to-node {",
        "type filter hook input priority filter; policy accept;",
        "ct state established,related accept",
        strangers.format("saddr", "saddr"),
        "ip saddr vmap @egress",
        "}",
        # No policy keeps out what the node itself sends: the kubelet's probes.
        "}",
    ]
    return "\n".join(lines) + "\n"


def _elements(words: Iterable[str]) -> str:
    every = ", ".join(sorted(set(words)))
    return f"elements = {{ {every} }} " if every else ""


def _chain(name: str, pod: Pod, direction: str, rules: Sequence[str]) -> str:
    # No policy keeps a pod from itself.
    itself = f"ip {_other(direction)} {pod.address} return"
    refused = "reject with icmp type admin-prohibited"
    return "\n".join([f"chain {name} {{", itself, *dict.fromkeys(rules), refused, "}"])


def _other(direction: str) -> str:
    return {"Egress": "daddr", "Ingress": "saddr"}[direction]


def _applies(policy: Any, pod: Pod, direction: str) -> bool:
    return (
        policy.metadata.namespace == pod.namespace
        and direction in policy.spec.policyTypes
        and selects(policy.spec.podSelector, pod.labels)
    )


def _rules(
    policy: Any,
    pod: Pod,
    direction: str,
    namespaces: Mapping[str, Labels],
    everyone: Sequence[Pod],
) -> Iterator[str]:
    """Yield a line for each way in which a policy lets something through."""
    rules = policy.spec.egress if direction == "Egress" else policy.spec.ingress
    for rule in rules or []:
        peers = rule.to if direction == "Egress" else rule.from_
        addresses: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for peer in peers or []:
            if peer.ipBlock:
                if ":" in peer.ipBlock.cidr:
                    continue  # pods have no IPv6 here
                for ports in _ports(rule.ports, pod if direction == "Ingress" else None):
                    yield f"{_block(peer.ipBlock, direction)}{ports} return"
                continue
            for other in everyone:
                if direction == "Ingress" and other.only is not None:
                    continue
                if _is(peer, other, pod.namespace, namespaces):
                    target = other if direction == "Egress" else pod
                    addresses[tuple(_ports(rule.ports, target))].append(other.address)
        if not peers:
            for ports in _ports(rule.ports, pod if direction == "Ingress" else None):
                yield f"{ports} return".strip()
        for every, found in addresses.items():
            where = f"ip {_other(direction)} {{ {', '.join(sorted(set(found)))} }}"
            for ports in every:
                yield f"{where}{ports} return"


def _block(block: Any, direction: str) -> str:
    side = f"ip {_other(direction)}"
    without = f" {side} != {{ {', '.join(block.except_)} }}" if block.except_ else ""
    return f"{side} {block.cidr}{without}"


def _ports(ports: Sequence[Any] | None, target: Pod | None) -> Iterator[str]:
    """Yield what a packet to one of the ports looks like; the names of ports are the target's."""
    if not ports and not (target and target.only):
        yield ""
        return
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for one in ports or []:
        protocol = one.protocol or "TCP"
        number = one.port
        if isinstance(number, str):
            number = target.ports.get((number, protocol)) if target else None
            if number is None:
                continue  # nobody has a port of that name there
        ranges[protocol].append((0, 65535) if number is None else (number, one.endPort or number))
    if target and target.only is not None:
        asked = ranges if ports else None
        ranges = defaultdict(list)
        for protocol, number in target.only:
            every = [(0, 65535)] if asked is None else asked.get(protocol, [])
            if any(low <= number <= high for low, high in every):
                ranges[protocol].append((number, number))
    for protocol, found in sorted(ranges.items()):
        words = (f"{low}" if low == high else f"{low}-{high}" for low, high in sorted(set(found)))
        yield f" {protocol.lower()} dport {{ {', '.join(words)} }}"


def _is(peer: Any, pod: Pod, namespace: str, namespaces: Mapping[str, Labels]) -> bool:
    if peer.namespaceSelector is None:
        if pod.namespace != namespace:
            return False
    else:
        # Kubernetes gives every namespace this label.
        named = {"kubernetes.io/metadata.name": pod.namespace}
        if not selects(peer.namespaceSelector, namespaces.get(pod.namespace, named)):
            return False
    return peer.podSelector is None or selects(peer.podSelector, pod.labels)


def selects(selector: Any, labels: Labels) -> bool:
    """Tell whether a label selector picks an object with these labels; an empty one picks all."""
    wanted: Labels = selector.matchLabels or {}
    return wanted.items() <= labels.items() and all(
        {
            "In": labels.get(one.key) in (one.values or []),
            "NotIn": labels.get(one.key) not in (one.values or []),
            "Exists": one.key in labels,
            "DoesNotExist": one.key not in labels,
        }[one.operator]
        for one in selector.matchExpressions or []
    )
