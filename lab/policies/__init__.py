"""The lab's enforcer of network policies: no ready-made one can be had from package registries."""

from pathlib import Path

PACKAGES = ("nftables",)
PLUGIN = "mlflow-lab-policies"
"""What the pods' network ends with: a pod starts when its policies are in force."""
SOURCE = Path(__file__).with_name("plugin.py")
# Hidden by the node's mount namespace: which address is whose ends with the node.
RECORDS = Path("/run") / PLUGIN / "pods"
SOCKET = Path("/run") / PLUGIN / "socket"


def plugin_configuration() -> dict[str, object]:
    """Return the plugin's part of the pods' network."""
    return {"type": PLUGIN, "records": str(RECORDS), "socket": str(SOCKET), "seconds": 20}


def install_plugin(folder: Path, python: Path) -> None:
    """Put the plugin among the others, whole: no clone must stay for pods to start."""
    target = folder / PLUGIN
    unfinished = target.with_name(f".{PLUGIN}.unfinished")
    unfinished.write_text(f"#!{python} -IS\n{SOURCE.read_text()}")
    unfinished.chmod(0o755)
    unfinished.replace(target)
