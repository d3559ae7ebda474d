"""The network and mount namespaces that a machine's processes and pods live in.

The mount namespace hides the places whose paths Kubernetes, containerd and CNI fix (/run,
/var/lib/kubelet, ...), so nothing of the machine's own is touched, and every mount of every pod
vanishes with it. A cable leads from the host to the first machine, and from there one to each
worker, so that the first machine is the workers' router.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from lab import paths
from lab.machines import FIRST, MACHINES, Machine
from lab.processes import run, write

_RUN = Path("/run") / paths.NETNS
_OWNER = _RUN / "owner"
_CONDEMNED = _RUN / "condemned"
_MADE = _RUN / "made-mount-points"
# Fixed in pkg/kubelet, k8s.io/kubelet/pkg/apis/deviceplugin and libcni; /run exists on any machine.
_HIDDEN = [Path(path) for path in ("/var/lib/kubelet", "/var/lib/cni", "/var/log/containers")]


def enter(machine: Machine = FIRST) -> list[str]:
    """Return the words that make a command run inside; put them before it."""
    # Not `ip netns exec`, which mounts another /sys over the control groups.
    return ["nsenter", f"--net={_network(machine)}", f"--mount={_mounts(machine)}"]


def whole(machine: Machine) -> bool:
    """Tell whether both namespaces and the cable are there, complete, and meant to stay."""
    if _CONDEMNED.exists():
        return False
    addresses = run("ip", "-n", machine.netns, "addr", "show", "eth0", check=False)
    inside = run(*enter(machine), "sh", "-c", "test -e /run/complete && echo yes", check=False)
    return f" {machine.address}/" in addresses and inside == "yes\n"


def claim() -> None:
    """Take the network's names and addresses for this lab's home, before anything is made."""
    _RUN.mkdir(exist_ok=True)
    write(_OWNER, str(paths.CACHE))


def owner() -> str:
    """Return the home of the lab that claimed the network; empty when none did."""
    return _OWNER.read_text() if _OWNER.exists() else ""


def make(machine: Machine) -> None:
    """Make both namespaces. The caller has removed what a killed run left of them."""
    run("ip", "netns", "add", machine.netns)
    inside = ("ip", "-n", machine.netns)
    end = ("type", "veth", "peer", "name", "eth0", "netns", machine.netns)
    run(*_outside(machine), "link", "add", _link(machine), *end)
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "link", "set", "eth0", "up")
    # With the kernel's default limit of ICMP messages, the client of a second denied connection
    # would hear of the refusal a second later.
    for setting, value in (("ip_forward", 1), ("icmp_ratelimit", 0)):
        run(
            *("nsenter", f"--net={_network(machine)}"),
            *("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{setting}"),
        )
    if machine == FIRST:
        _make_mount_points()
    _make_mounts(machine)
    # The last step, because `whole` takes this address as the mark of a complete network.
    run(*inside, "addr", "add", f"{machine.address}/30", "dev", "eth0")
    route(machine)


def route(machine: Machine) -> None:
    """Lead traffic for pods and services into a machine: all of the host's into the first."""
    outside = _outside(machine)
    run(*outside, "addr", "replace", f"{machine.gateway}/30", "dev", _link(machine))
    run(*outside, "link", "set", _link(machine), "up")
    reached = paths.NETWORK if machine == FIRST else machine.pods
    run(*outside, "route", "replace", reached, "via", machine.address)
    if machine != FIRST:
        replace = ("ip", "-n", machine.netns, "route", "replace")
        run(*replace, paths.NETWORK, "via", machine.gateway)
        # Without this route, both ends of the cable would send a packet for an ended pod back.
        run(*replace, "unreachable", machine.pods)


def silence(worker: Machine) -> None:
    """Cut a worker's cable. As with a broken machine, packets for its pods get no answer."""
    run(*_outside(worker), "link", "delete", _link(worker), check=False)
    run(*_outside(worker), "route", "replace", "blackhole", worker.pods)


def condemn() -> None:
    """Mark that a stop has begun.

    A start after a killed stop must not use the processes that the stop left.
    """
    if _RUN.exists():
        _CONDEMNED.touch()


def remove(machine: Machine) -> None:
    """Remove both namespaces, complete or not; no process may live in them any more."""
    # The kernel removes the addresses and the routes too.
    run(*_outside(machine), "link", "delete", _link(machine), check=False)
    if _network(machine).exists():
        run("ip", "netns", "delete", machine.netns)
    _unmount(_mounts(machine))


def remove_all() -> None:
    """Remove the namespaces of all machines, and the mount points that were made for them."""
    for machine in reversed(MACHINES):
        remove(machine)
    _unmount(_RUN)
    for path in _MADE.read_text().splitlines() if _MADE.exists() else []:
        with suppress(OSError):  # the folder was never made, or is in use
            Path(path).rmdir()
    forget()


def forget() -> None:
    """Remove the notes about the namespaces, which are gone."""
    shutil.rmtree(_RUN, ignore_errors=True)


def _outside(machine: Machine) -> tuple[str, ...]:
    """Return the command for the network at the other end of a machine's cable."""
    return ("ip",) if machine == FIRST else ("ip", "-n", FIRST.netns)


def _link(machine: Machine) -> str:
    """Return the name of that end; the machine's own end is eth0. A name has 15 letters at most."""
    return machine.label or paths.NETNS


def _network(machine: Machine) -> Path:
    return paths.NETNS_FILE.with_name(machine.netns)


def _mounts(machine: Machine) -> Path:
    return _RUN / f"mounts{machine.suffix}"


def _unmount(mount: Path) -> None:
    while f" {mount} " in Path("/proc/self/mounts").read_text():
        run("umount", mount)


def _make_mount_points() -> None:
    missing = [path for path in _HIDDEN if not path.exists()]
    write(_MADE, "".join(f"{path}\n" for path in missing))
    for path in missing:
        path.mkdir(parents=True)
    # A mount namespace can be kept in a file only where mounts do not propagate (unshare(1)).
    run("mount", "--bind", _RUN, _RUN)
    run("mount", "--make-private", _RUN)


def _make_mounts(machine: Machine) -> None:
    _mounts(machine).touch()
    hide = [f"mount -t tmpfs -o mode=755 lab {path}" for path in (*_HIDDEN, "/run")]
    script = " && ".join([*hide, "mkdir /run/lock", "touch /run/complete"])
    run("unshare", f"--mount={_mounts(machine)}", "--propagation=slave", "sh", "-c", script)
