"""Network policies: the component that is reached makes the policies of the path to it.

Kubernetes adds policies up. What no policy allows is denied, in both directions.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.arguments import checked
from .._kubernetes.grammars import NETWORK, network
from .._kubernetes.labels import PART_OF_THE_STACK, metadata

_NAME = "kubernetes.io/metadata.name"  # on every namespace, by Kubernetes itself


@dataclass(frozen=True)
class Path:
    """One rule of a policy: peers, and the ports on which they are allowed."""

    peers: Sequence[k8s.networking.v1.NetworkPolicyPeerArgs]
    """The other end of the connection: any of these."""
    tcp: Sequence[pulumi.Input[int]] = ()
    udp: Sequence[pulumi.Input[int]] = ()
    any_tcp: bool = False
    """Whether every TCP port is allowed."""

    @property
    def ports(self) -> list[k8s.networking.v1.NetworkPolicyPortArgs]:
        """The ports, as Kubernetes reads them."""
        port = k8s.networking.v1.NetworkPolicyPortArgs
        every = [port(protocol="TCP")] if self.any_tcp else []
        return [
            *every,
            *(port(protocol="TCP", port=number) for number in self.tcp),
            *(port(protocol="UDP", port=number) for number in self.udp),
        ]


def client_labels(name: str) -> dict[str, str]:
    """Return the labels of the pods that may reach component ``name``."""
    return {f"mlflow-kubernetes/{name}": "client"}


def pods(labels: Mapping[str, str]) -> k8s.networking.v1.NetworkPolicyPeerArgs:
    """Return the pods of the policy's own namespace that have these labels."""
    return k8s.networking.v1.NetworkPolicyPeerArgs(
        pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels)
    )


def namespaces(names: Sequence[str]) -> list[k8s.networking.v1.NetworkPolicyPeerArgs]:
    """Return all pods of these namespaces."""
    return [
        k8s.networking.v1.NetworkPolicyPeerArgs(
            namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={_NAME: name})
        )
        for name in names
    ]


def networks(
    *cidrs: str, without: Sequence[str] = ()
) -> list[k8s.networking.v1.NetworkPolicyPeerArgs]:
    """Return the addresses of the networks ``cidrs``, except those of ``without``."""
    return [
        k8s.networking.v1.NetworkPolicyPeerArgs(
            ip_block=k8s.networking.v1.IPBlockArgs(
                cidr=cidr, except_=[other for other in without if _inside(other, cidr)] or None
            )
        )
        for cidr in cidrs
    ]


def _inside(cidr: str, wider: str) -> bool:
    one, other = ipaddress.ip_network(cidr), ipaddress.ip_network(wider)
    # Kubernetes refuses an exception that is the whole network.
    return one.version == other.version and other.overlaps(one) and one.prefixlen > other.prefixlen


# The labels that the DNS servers of kubeadm, minikube and the clouds have in common.
DNS = Path(
    [
        k8s.networking.v1.NetworkPolicyPeerArgs(
            namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={_NAME: "kube-system"}),
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={"k8s-app": "kube-dns"}),
        )
    ],
    tcp=[53],
    udp=[53],
)

CLOUDS = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")
"""Addresses of a cloud's metadata servers, which give a machine its keys."""
# Networks of IANA's special-purpose registry that lead to no public server. A cluster's pods,
# Services and API server, and other machines of its network, have such addresses.
_NOT_PUBLIC = (
    *("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"),
    *CLOUDS,
)
INTERNET = Path(networks("0.0.0.0/0", "2000::/3", without=_NOT_PUBLIC), tcp=[443])
"""HTTPS to public addresses."""


def outside(component: str, cidrs: Sequence[str]) -> list[k8s.networking.v1.NetworkPolicyPeerArgs]:
    """Return the peers of a server outside the stack: the input ``networks``, or else any address.

    Policies know no host names. Without ``cidrs``, the peers are every address except a cloud's
    own, and every pod, because some enforcers do not count pods among addresses.

    Raises:
        pulumi.RunError: if one of ``cidrs`` is no network.
    """
    if cidrs:
        known = [checked(f"{component}.networks", one, network, NETWORK) for one in cidrs]
        return networks(*known, without=CLOUDS)
    every_pod = k8s.networking.v1.NetworkPolicyPeerArgs(
        namespace_selector=k8s.meta.v1.LabelSelectorArgs()
    )
    return [*networks("0.0.0.0/0", "::/0", without=CLOUDS), every_pod]


def policy(
    name: str,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    applies_to: Mapping[str, str],
    ingress: Sequence[Path] | None = None,
    egress: Sequence[Path] | None = None,
    opts: pulumi.ResourceOptions,
) -> pulumi.Resource:
    """Make a policy: the pods ``applies_to`` accept ``ingress`` alone, and reach ``egress`` alone.

    None leaves that direction to other policies.
    """

    def named(paths: Sequence[Path] | None) -> list[Path]:
        # To Kubernetes, a rule without peers allows every peer.
        return [path for path in paths or [] if path.peers]

    kinds = {"Ingress": ingress, "Egress": egress}
    return k8s.networking.v1.NetworkPolicy(
        f"{name}-policy",
        metadata=metadata(name, namespace, labels),
        spec=k8s.networking.v1.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=applies_to),
            policy_types=[kind for kind, paths in kinds.items() if paths is not None],
            ingress=[
                k8s.networking.v1.NetworkPolicyIngressRuleArgs(
                    from_=[*path.peers], ports=path.ports
                )
                for path in named(ingress)
            ]
            or None,
            egress=[
                k8s.networking.v1.NetworkPolicyEgressRuleArgs(to=[*path.peers], ports=path.ports)
                for path in named(egress)
            ]
            or None,
        ),
        opts=opts,
    )


def server_policies(
    name: str,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    applies_to: Mapping[str, str],
    port: int,
    ingress: Sequence[Path] = (),
    egress: Sequence[Path] = (),
    opts: pulumi.ResourceOptions,
) -> pulumi.ResourceOptions:
    """Make both policies of a server: one for the server's pods, one for the pods of its clients.

    Args:
        name: name of the component, which is in the clients' labels (``client_labels``).
        namespace: namespace of the policies.
        labels: labels of the policies.
        applies_to: labels of the server's pods.
        port: the TCP port that the clients reach.
        ingress: paths to the server, beside the one of the clients.
        egress: paths from the server; without any, the server reaches nothing.
        opts: options of both policies.

    Returns:
        Options with which an object comes after both policies.
    """
    clients = client_labels(name)
    server = policy(
        name,
        namespace=namespace,
        labels=labels,
        applies_to=applies_to,
        ingress=[Path([pods(clients)], tcp=[port]), *ingress],
        egress=egress,
        opts=opts,
    )
    reached = client_policy(
        name,
        namespace=namespace,
        labels=labels,
        egress=[Path([pods(applies_to)], tcp=[port])],
        opts=opts,
    )
    return after(opts, server, reached)


def client_policy(
    name: str,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    egress: Sequence[Path],
    opts: pulumi.ResourceOptions,
) -> pulumi.Resource:
    """Let the pods with ``client_labels(name)`` reach ``egress``, and the DNS servers."""
    return policy(
        f"{name}-clients",
        namespace=namespace,
        labels=labels,
        applies_to=client_labels(name),
        egress=[*egress, DNS],
        opts=opts,
    )


def after(opts: pulumi.ResourceOptions, *policies: pulumi.Resource) -> pulumi.ResourceOptions:
    """Return options with which an object comes after these policies.

    A pod that starts before its policies would have to repeat its first connections.
    """
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[*policies]))


def default_deny(
    name: str, namespace: pulumi.Input[str], *, whole: bool, opts: pulumi.ResourceOptions
) -> pulumi.Resource:
    """Deny pods every connection that no other policy allows.

    With ``whole``, the policy is for every pod of the namespace. Otherwise it is for the pods of
    these components, because it must not change the network of other pods.
    """
    return policy(
        f"{name}-default-deny",
        namespace=namespace,
        labels=PART_OF_THE_STACK,
        applies_to={} if whole else PART_OF_THE_STACK,
        ingress=[],
        egress=[],
        opts=opts,
    )
