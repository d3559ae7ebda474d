"""The network and mount namespaces that the node's processes and pods live in.

The mount namespace hides the places whose paths Kubernetes, containerd and CNI fix (/run,
/var/lib/kubelet, ...), so nothing of the machine's own is touched, and every mount of every pod
vanishes with it.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from lab import paths
from lab.processes import run, write

_RUN = Path("/run") / paths.NETNS
_MOUNTS = _RUN / "mounts"
_OWNER = _RUN / "owner"
_CONDEMNED = _RUN / "condemned"
_MADE = _RUN / "made-mount-points"
_LINK = paths.NETNS  # the host's end of the cable; the node's end is eth0
# Fixed in pkg/kubelet, k8s.io/kubelet/pkg/apis/deviceplugin and libcni; /run exists on any machine.
_HIDDEN = [Path(path) for path in ("/var/lib/kubelet", "/var/lib/cni", "/var/log/containers")]


def enter() -> list[str]:
    """Return the words that make a command run inside; put them before it."""
    # Not `ip netns exec`, which mounts another /sys over the control groups.
    return ["nsenter", f"--net={paths.NETNS_FILE}", f"--mount={_MOUNTS}"]


def whole() -> bool:
    """Tell whether both namespaces and the cable are there, complete, and meant to stay."""
    if _CONDEMNED.exists():
        return False
    addresses = run("ip", "-n", paths.NETNS, "addr", "show", "eth0", check=False)
    inside = run(*enter(), "sh", "-c", "test -e /run/complete && echo yes", check=False)
    return f" {paths.NODE_ADDRESS}/" in addresses and inside == "yes\n"


def claim() -> None:
    """Take the network's names and addresses for this lab's home, before anything is made."""
    _RUN.mkdir(exist_ok=True)
    write(_OWNER, str(paths.CACHE))


def owner() -> str:
    """Return the home of the lab that claimed the network; empty when none did."""
    return _OWNER.read_text() if _OWNER.exists() else ""


def make() -> None:
    """Make both namespaces. The caller has removed what a killed run left of them."""
    run("ip", "netns", "add", paths.NETNS)
    inside = ("ip", "-n", paths.NETNS)
    run("ip", "link", "add", _LINK, "type", "veth", "peer", "name", "eth0", "netns", paths.NETNS)
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "link", "set", "eth0", "up")
    # With the kernel's default limit of ICMP messages, the client of a second denied connection
    # would hear of the refusal a second later.
    for setting, value in (("ip_forward", 1), ("icmp_ratelimit", 0)):
        run(
            *("nsenter", f"--net={paths.NETNS_FILE}"),
            *("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{setting}"),
        )
    _make_mounts()
    # The last step, because `whole` takes this address as the mark of a complete network.
    run(*inside, "addr", "add", f"{paths.NODE_ADDRESS}/30", "dev", "eth0")
    route()


def route() -> None:
    """Lead the host's traffic for pods and services into the node."""
    run("ip", "addr", "replace", f"{paths.HOST_ADDRESS}/30", "dev", _LINK)
    run("ip", "link", "set", _LINK, "up")
    run("ip", "route", "replace", paths.NETWORK, "via", paths.NODE_ADDRESS)


def condemn() -> None:
    """Mark that a stop has begun.

    A start after a killed stop must not use the processes that the stop left.
    """
    if _RUN.exists():
        _CONDEMNED.touch()


def remove() -> None:
    """Remove both namespaces, complete or not; no process may live in them any more."""
    run(
        "ip", "link", "delete", _LINK, check=False
    )  # the kernel removes the address and the route too
    if paths.NETNS_FILE.exists():
        run("ip", "netns", "delete", paths.NETNS)
    for mount in (_MOUNTS, _RUN):
        while f" {mount} " in Path("/proc/self/mounts").read_text():
            run("umount", mount)
    for path in _MADE.read_text().splitlines() if _MADE.exists() else []:
        with suppress(OSError):  # the folder was never made, or is in use
            Path(path).rmdir()
    forget()


def forget() -> None:
    """Remove the notes about the namespaces, which are gone."""
    shutil.rmtree(_RUN, ignore_errors=True)


def _make_mounts() -> None:
    missing = [path for path in _HIDDEN if not path.exists()]
    write(_MADE, "".join(f"{path}\n" for path in missing))
    for path in missing:
        path.mkdir(parents=True)
    # A mount namespace can be kept in a file only where mounts do not propagate (unshare(1)).
    run("mount", "--bind", _RUN, _RUN)
    run("mount", "--make-private", _RUN)
    _MOUNTS.touch()
    hide = [f"mount -t tmpfs -o mode=755 lab {path}" for path in (*_HIDDEN, "/run")]
    script = " && ".join([*hide, "mkdir /run/lock", "touch /run/complete"])
    run("unshare", f"--mount={_MOUNTS}", "--propagation=slave", "sh", "-c", script)
