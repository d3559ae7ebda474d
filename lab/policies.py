"""Network policies: kube-router's controller, in a program that is also a network plugin.

`tools/kubernetes/policies/main.go` is that program, and says why it is not kube-router itself.
"""

from pathlib import Path

from lab import credentials, paths
from lab.machines import Machine
from lab.tools import program

PACKAGES = ("ipset",)
_PLUGIN = "mlflow-lab-policies"
_SOCKET = Path("/run") / f"{_PLUGIN}.socket"  # in a machine's mount namespace alone


def command(machine: Machine) -> list[str]:
    """Return the command that enforces policies. Its rules of iptables outlive the process."""
    return [
        str(program("policies")),
        f"--kubeconfig={credentials.kubeconfig('admin')}",
        f"--node={machine.node}",
        f"--address={machine.address}",
        f"--dns={paths.NODE_ADDRESS}",
        f"--services={paths.SERVICE_RANGE}",
        f"--socket={_SOCKET}",
    ]


def plugin_configuration() -> dict[str, object]:
    """Return the plugin's entry in the list of network plugins. The entry must be the last."""
    return {"type": _PLUGIN, "socket": str(_SOCKET)}


def install_plugin(folder: Path) -> None:
    """Put the plugin into the folder of the network plugins."""
    plugin = folder / _PLUGIN
    plugin.unlink(missing_ok=True)
    plugin.symlink_to(program("policies").resolve())
