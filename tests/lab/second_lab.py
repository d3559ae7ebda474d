"""A second lab, with a home and a network of its own, so that one in use is left alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import paths

NEEDS_THE_LAB = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 or not paths.TOOLS.exists(), reason="the lab is not in use here"
    ),
]

# The half of the range that the lab in use leaves free.
SUBNET = "198.18" if paths.NETWORK.startswith("198.19.") else "198.19"
NAME = "mlflow-lab" if SUBNET == "198.18" else "mlflow-lab-19"
COMPONENTS = (
    *("etcd", "containerd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("policies", "kubelet", "kube-proxy", "coredns", "storage"),
)


class Lab:
    """Runs the lab's commands as a user would, on a home and a network of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "tools").symlink_to(paths.TOOLS)
        self.environment = {
            **os.environ,
            "MLFLOW_LAB_HOME": str(home),
            "MLFLOW_LAB_SUBNET": SUBNET,
        }

    def begin(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lab", *command.split()],
            cwd=paths.CLONE,
            env=self.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str) -> str:
        started = self.begin(command)
        output, errors = started.communicate(timeout=240)
        assert started.returncode == 0, output + errors
        return output + errors

    def kubectl(self, *words: str, stdin: str = "") -> str:
        kubectl = next(self.home.glob("tools/kubernetes-*/kubectl"))
        config = self.home / "node" / "kubeconfig"
        command = [str(kubectl), f"--kubeconfig={config}", *words]
        return subprocess.run(
            command, check=True, capture_output=True, input=stdin, text=True
        ).stdout

    def pid(self, name: str) -> int:
        return int((self.home / "node" / "pids" / name).read_text())

    def pids(self) -> dict[str, int]:
        """Return the number of each process by its name, which has a further node's before it."""
        folder = self.home / "node" / "pids"
        files = [file for file in folder.rglob("*") if file.is_file()]
        return {str(file.relative_to(folder)): int(file.read_text()) for file in files}


def running() -> set[int]:
    """Return the number of each process in the lab's control groups, those of pods included."""
    # The first is cgroup v2, the second the controllers of cgroup v1.
    groups = [group for at in ("", "*/") for group in Path("/sys/fs/cgroup").glob(f"{at}{NAME}")]
    lists = [file for group in groups for file in group.rglob("cgroup.procs")]
    return {int(pid) for file in lists for pid in file.read_text().split()}


def traces(lab: Lab) -> list[str]:
    """List what is left of the lab on the machine, beside its data."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    routes = subprocess.run(["ip", "route"], check=True, capture_output=True, text=True).stdout
    places = ("run/netns", "run", "sys/class/net", "sys/fs/cgroup", "sys/fs/cgroup/*")
    names = [*(f"{place}/{NAME}" for place in places), f"run/netns/{NAME}-m0*"]
    return [
        *(str(place) for name in names for place in Path("/").glob(name)),
        *(mount for mount in mounts if f"/{NAME} " in mount or str(lab.home) in mount),
        *(route for route in routes.splitlines() if f"{SUBNET}." in route),
        *(
            str(process)
            for process in Path("/proc").glob("[0-9]*")
            if str(lab.home).encode() in _command(process)
        ),
    ]


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""
