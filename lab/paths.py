"""Where the lab keeps its files, and the addresses it uses."""

import os
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
BIN = CLONE / ".lab" / "bin"

_XDG_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CACHE = Path(os.environ.get("MLFLOW_LAB_HOME") or _XDG_CACHE / "mlflow-kubernetes").absolute()
TOOLS = CACHE / "tools"

NODE_DIR = CACHE / "node"
KUBECONFIG = NODE_DIR / "kubeconfig"
CONTAINERD_SOCKET = NODE_DIR / "containerd.sock"
LOGS = NODE_DIR / "logs"
VOLUMES = NODE_DIR / "volumes"

# 198.18.0.0/15 is set aside for benchmarks (RFC 2544): no user's network can clash with it.
# The other half lets a test run a second lab beside the one in use.
_SUBNET = os.environ.get("MLFLOW_LAB_SUBNET") or "198.18"
NODE_NAME = "minikube"
NETNS = "mlflow-lab" if _SUBNET == "198.18" else f"mlflow-lab-{_SUBNET.rpartition('.')[2]}"
NETNS_FILE = Path("/run/netns") / NETNS
NETWORK = f"{_SUBNET}.0.0/16"
HOST_ADDRESS = f"{_SUBNET}.255.1"
NODE_ADDRESS = f"{_SUBNET}.255.2"
POD_RANGE = f"{_SUBNET}.0.0/17"
SERVICE_RANGE = f"{_SUBNET}.128.0/20"
API_ADDRESS = f"{_SUBNET}.128.1"
DNS_ADDRESS = f"{_SUBNET}.128.10"
