"""The cluster's DNS server: CoreDNS as a process of the node, behind a service without pods."""

from lab import paths
from lab.processes import run, write
from lab.tools import program

_COREFILE = paths.NODE_DIR / "Corefile"


def configure() -> None:
    """Write CoreDNS's settings.

    CoreDNS knows the cluster's names alone, because no query leaves the node.
    """
    # Two blocks, because CoreDNS asks the plugin `template` before the plugin `kubernetes` of the
    # same block, in whatever order the block names them.
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


def answers() -> bool:
    """Tell whether the name of the API server resolves through the service's address."""
    query = ("busybox", "nslookup", "-type=a", "kubernetes.default.svc.cluster.local")
    said = run("timeout", "1", *query, paths.DNS_ADDRESS, check=False)
    return f"Address: {paths.API_ADDRESS}" in said.splitlines()
