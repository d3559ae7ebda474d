"""The machines that the nodes run on: the first, and workers beside it where a test asks for them.

A machine is a network namespace and a mount namespace. The first one also runs what the cluster has
once: the API server, the DNS server and the like.
"""

from dataclasses import dataclass
from pathlib import Path

from lab import paths
from lab.processes import write

_NOTE = paths.NODE_DIR / "machines"
_SUBNET = paths.NETWORK.removesuffix(".0.0/16")


@dataclass(frozen=True)
class Machine:
    """The names and addresses of one machine. The first has those of a lab without workers."""

    suffix: str
    """What a worker's names end with, as on minikube; empty for the first machine."""
    label: str
    """Name of a worker's folder and of its control group; empty for the first machine."""
    address: str
    """Address at the machine's end of its cable."""
    gateway: str
    """Address at the other end: the host's, or for a worker the first machine's."""
    pods: str
    """Range of the addresses of its pods: a quarter of the cluster's range."""

    @property
    def node(self) -> str:
        """Name of the machine's node."""
        return f"{paths.NODE_NAME}{self.suffix}"

    @property
    def netns(self) -> str:
        """Name of the machine's network namespace."""
        return f"{paths.NETNS}{self.suffix}"

    @property
    def folder(self) -> Path:
        """Folder of the files that each machine has for itself."""
        return paths.NODE_DIR / self.label

    @property
    def socket(self) -> Path:
        """Socket of the machine's containerd."""
        return self.folder / paths.CONTAINERD_SOCKET.name

    @property
    def volumes(self) -> Path:
        """Folder of the volumes that are made on this machine."""
        return self.folder / paths.VOLUMES.name

    def process(self, name: str) -> str:
        """Return the name under which the lab starts a process of this machine."""
        return str(Path(self.label, name))


def _machine(number: int) -> Machine:
    suffix = f"-m{number + 1:02}" if number else ""
    return Machine(
        suffix=suffix,
        label=f"{paths.NODE_NAME}{suffix}" if number else "",
        address=f"{_SUBNET}.255.{4 * number + 2}",
        gateway=f"{_SUBNET}.255.{4 * number + 1}",
        pods=f"{_SUBNET}.{32 * number}.0/19",
    )


MACHINES = tuple(_machine(number) for number in range(3))
FIRST = MACHINES[0]


def asked(nodes: int | None = None) -> tuple[Machine, ...]:
    """Return the first so many machines; by default, as many as the last start asked for."""
    if nodes is None:
        nodes = int(_NOTE.read_text()) if _NOTE.exists() else 1
    return MACHINES[:nodes]


def note(machines: tuple[Machine, ...]) -> None:
    """Keep the number of machines, for the next start."""
    write(_NOTE, str(len(machines)))
