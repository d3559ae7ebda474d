"""The cluster's DNS server: CoreDNS as a process of the node, behind a service without pods."""

import socket

from lab import paths
from lab.processes import write
from lab.tools import program

_COREFILE = paths.NODE_DIR / "Corefile"
_LABELS = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true"}


def configure() -> None:
    """Write CoreDNS's settings: the cluster's names, and no others, for nothing leaves the node."""
    # Two blocks: CoreDNS asks `template` before `kubernetes`, whatever their order in one.
    content = f"""\
cluster.local in-addr.arpa ip6.arpa {{
    bind {paths.NODE_ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {paths.KUBECONFIG} minikube
        pods insecure
        ttl 5
    }}
}}
. {{
    bind {paths.NODE_ADDRESS}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    write(_COREFILE, content)


def command() -> list[str]:
    """Return the command that serves DNS in the node's namespace."""
    return [str(program("coredns")), "-conf", str(_COREFILE), "-quiet"]


def objects() -> list[dict[str, object]]:
    """Return the service that gives the DNS server the address that pods are told."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": _LABELS},
            "spec": {"clusterIP": paths.DNS_ADDRESS, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [paths.NODE_ADDRESS], "conditions": {"ready": True}}],
        },
    ]


def answers() -> bool:
    """Tell whether the name of the API server resolves through the service's address."""
    name = b"".join(
        bytes([len(part)]) + part.encode()
        for part in ("kubernetes", "default", "svc", "cluster", "local")
    )
    # RFC 1035: a number, "recursion desired", one question: this name, type A, class IN.
    question = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(1)
        try:
            udp.sendto(question, (paths.DNS_ADDRESS, 53))
            return udp.recv(512).endswith(socket.inet_aton(paths.API_ADDRESS))
        except OSError:
            return False
