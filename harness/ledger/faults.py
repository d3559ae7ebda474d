"""The faults: each one harms a running stack, and then undoes the harm.

Some act on the processes and volumes of pods from the machine under the cluster. These need the
lab, whose processes run on this machine.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from commands.support.cluster import Cluster
from harness import pod_processes
from harness.backend_stores import DATABASES, Database
from harness.kubectl import Kubectl, ready
from harness.programs import ProgramError
from harness.waiting import wait_until
from lab import namespaces

SERVER = "mlflow"
CUT_SECONDS = 30
STOPPED_SECONDS = 60
FULL_SECONDS = 25
MEMORY_SECONDS = 5
_ROLE = "app.kubernetes.io/component"
_INSTANCE = "app.kubernetes.io/instance"
# Free room of the small file system, in MiB. HDFS keeps room for a block of 128 MiB for each file
# that is being written, and would refuse files long before the volume is full. The file is sparse.
_ROOM = 2048
_LAST_BYTES = 8 << 20
_SCRATCH = "64k"
_MOST_MEMORY = 4 << 30
Pod = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A stack that is up, as its pods' labels show it."""

    kubectl: Kubectl
    database: Database
    stores: tuple[str, ...]
    """The components of the artifact store: those with artifacts, and HDFS's NameNode."""

    @classmethod
    def of(cls, kubectl: Kubectl) -> "Target":
        """Return the stack in a namespace."""
        roles: dict[str, set[str]] = {}
        for one in kubectl.items("statefulsets"):
            worn = one["metadata"]["labels"]
            roles.setdefault(worn[_ROLE], set()).add(worn[_INSTANCE])
        (database,) = roles["backend-store"]
        return cls(kubectl, DATABASES[database], tuple(sorted(roles["artifact-store"])))

    @property
    def apps(self) -> tuple[str, ...]:
        """All components that run for as long as the stack."""
        return (SERVER, self.database.name, *self.stores)

    def pods(self, app: str) -> list[Pod]:
        """Return the pods of a component that are not being deleted."""
        found = self.kubectl.json("get", "pods", f"--selector={_INSTANCE}={app}")["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def is_whole(self) -> bool:
        """Say whether every component has as many ready pods as it should have."""
        for one in self.kubectl.items("deployments", "statefulsets"):
            wanted = one["spec"]["replicas"]
            status = one["status"]
            if (
                status.get("readyReplicas", 0) != wanted
                or status.get("replicas", 0) != wanted
                or status.get("observedGeneration") != one["metadata"]["generation"]
            ):
                return False
        return True


def _processes(target: Target, app: str) -> list[int]:
    """Return the processes of a component's first pod."""
    return pod_processes.visible_of_pod(target.pods(app)[0])


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # it ended with its parent
            os.kill(process, number)


def killed(target: Target, app: str) -> None:
    """End all processes of a pod with SIGKILL."""
    _signal(_processes(target, app), signal.SIGKILL)


def worker_killed(target: Target) -> None:
    """End one worker of the server with SIGKILL."""
    workers = [one for one in _processes(target, SERVER) if pod_processes.serves(one)]
    _signal(workers[:1], signal.SIGKILL)


def ended(target: Target, app: str) -> None:
    """Delete a pod: it gets SIGTERM, and its grace period."""
    name = target.pods(app)[0]["metadata"]["name"]
    target.kubectl("delete", "pod", name, "--wait=false")


def rolled(target: Target) -> None:
    """Replace the server's pods as an update does."""
    target.kubectl("rollout", "restart", f"deployment/{SERVER}")
    target.kubectl("rollout", "status", f"deployment/{SERVER}", "--timeout=150s", seconds=160)


def connections_ended(target: Target) -> None:
    """Have the database end every connection of MLflow's user."""
    database = target.database

    def ask(statements: str) -> str:
        command = ["exec", "-i", f"{database.name}-0", "--", *database.client]
        # MySQL stops at a connection that has ended by itself.
        return target.kubectl(*command, stdin=statements, check=False)

    def connections() -> set[str]:
        return set(re.findall(r"^\s*(\d+)\s*$", ask(database.connections), re.MULTILINE))

    first = connections()
    left = first
    while left:
        ask("\n".join(database.end_connection.format(one) for one in sorted(left)))
        left = first & connections()


def stopped(target: Target, app: str, seconds: float) -> None:
    """Stop the processes of a pod: its peers get no answer, and no refusal."""
    found = _processes(target, app)
    _signal(found, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        _signal(found, signal.SIGCONT)


def cut_off(target: Target, app: str, seconds: float) -> None:
    """Drop every packet of a pod without an answer, as when a node is lost."""
    rules = [
        ["INPUT", "!", "-i", "lo", "-j", "DROP"],
        ["OUTPUT", "!", "-o", "lo", "-j", "DROP"],
    ]
    # The open file keeps the network: the process may end meanwhile, and the pod may be replaced.
    with open(f"/proc/{_processes(target, app)[0]}/ns/net") as network:

        def change(option: str, rule: list[str]) -> None:
            enter = ["nsenter", f"--net=/proc/self/fd/{network.fileno()}", "iptables", option]
            subprocess.run([*enter, *rule], check=True, pass_fds=[network.fileno()])

        for rule in rules:
            change("-I", rule)
        try:
            time.sleep(seconds)
        finally:
            for rule in rules:
                change("-D", rule)


def scratch_full(target: Target, seconds: float) -> None:
    """Fill /tmp of the server's pod."""
    pod = target.pods(SERVER)[0]
    mount = f"mount -t tmpfs -o size={_SCRATCH},mode=1777 full /tmp"
    fill = "head -c 100000 /dev/zero > /tmp/fill"
    script = f"{mount}; {fill}; mountpoint -q /tmp"
    subprocess.run(_among_files(pod_processes.visible_of_pod(pod)[0], script), check=True)
    try:
        time.sleep(seconds)
    finally:
        # If the container has ended, its /tmp is gone too.
        for process in pod_processes.of_pod(pod)[:1]:
            subprocess.run(_among_files(process, "umount --lazy /tmp"), check=False)


def _among_files(process: int, script: str) -> list[str]:
    """Return the command by which root runs a script among the files of a process's container."""
    # With the container's process ids, for umount reads /proc.
    return ["nsenter", f"--target={process}", "--mount", "--pid", "sh", "-c", script]


# Memory of this file counts for the pod, and for no process: the kernel ends the pod's processes.
_ALLOCATE = """\
import os, sys, time
group, seconds, limit = sys.argv[1:]
with open(f"{group}/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
file = os.memfd_create("ledger")
block = bytes(1 << 20)
end = time.monotonic() + float(seconds)
written = 0
while time.monotonic() < end:
    if written < int(limit):
        written += os.write(file, block)
    else:
        time.sleep(0.05)
"""


def memory_used_up(target: Target, app: str, seconds: float = MEMORY_SECONDS) -> None:
    """Use up the memory that a pod may have."""
    group = _memory_group(_processes(target, app)[0])
    limit = _memory_limit(group)
    # The kernel may end this program too.
    subprocess.run(
        [sys.executable, "-c", _ALLOCATE, str(group), str(seconds), str(limit)],
        check=False,
        timeout=seconds + 60,
    )


def _memory_group(process: int) -> Path:
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("memory", ""):
            return Path("/sys/fs/cgroup", controllers, path.lstrip("/"))
    raise ProgramError(f"process {process} is in no control group of memory")


def _memory_limit(group: Path) -> int:
    for name in ("memory.limit_in_bytes", "memory.max"):
        if (file := group / name).exists() and int(file.read_text()) <= _MOST_MEMORY:
            return int(file.read_text())
    raise ProgramError(f"{group} has no limit of memory up to {_MOST_MEMORY} bytes")


def all_pods_deleted(target: Target) -> None:
    """Delete all pods at once, as a drain of the only node does."""
    names = [one["metadata"]["name"] for app in target.apps for one in target.pods(app)]
    target.kubectl("delete", "pods", *names, "--wait=false")


def node_stopped(cluster: Cluster) -> None:
    """Stop the node with all that runs on it, and start it again."""
    cluster.stop()
    cluster.start()


class SmallVolume:
    """Moves a pod's volume into a small file system, which can be filled.

    The lab's volumes are folders of the machine's disk, which must never be filled. So the content
    moves into a file system of a fixed size in a sparse file, and back at the end.
    """

    def __init__(self, target: Target, app: str) -> None:
        self._target = target
        self._app = app
        self._folder = _folder(target, app)
        self._image = self._folder.with_name(f"{self._folder.name}.img")
        self._aside = self._folder.with_name(f"{self._folder.name}.aside")

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Have the pod run on the small file system."""
        with self._without_pods():
            self._move_in()
        try:
            yield
        finally:
            with self._without_pods():
                self._move_out()

    def fill(self, seconds: float = FULL_SECONDS) -> None:
        """Fill the volume, and free it after some seconds."""
        fill = f"{self._folder}/fill"
        # `fallocate` takes room in the file system, and none on the machine's disk. `cat` takes the
        # rest.
        self._inside(
            f"avail=$(df --output=avail -B1 {self._folder} | tail -n1); "
            f"fallocate -l $((avail - {_LAST_BYTES})) {fill}; "
            f"cat /dev/zero >> {fill} 2>/dev/null; true"
        )
        try:
            time.sleep(seconds)
        finally:
            self._inside(f"rm -f {fill}")

    def _move_in(self) -> None:
        self._inside(
            f"set -e; used=$(du -sm {self._folder} | cut -f1); "
            f"truncate -s $((used * 11 / 10 + {_ROOM}))M {self._image}; "
            f"mkfs.ext4 -q -m 0 {self._image}; mkdir -p {self._aside}; "
            f"mount -o loop {self._image} {self._aside}; rmdir {self._aside}/lost+found; "
            f"chmod --reference={self._folder} {self._aside}; "
            f"cp -a {self._folder}/. {self._aside}/; umount {self._aside}; "
            f"mount -o loop {self._image} {self._folder}"
        )

    def _move_out(self) -> None:
        self._inside(
            f"set -e; umount {self._folder}; mount -o loop {self._image} {self._aside}; "
            f"find {self._folder} -mindepth 1 -delete; "
            f"cp -a {self._aside}/. {self._folder}/; umount {self._aside}; "
            f"rmdir {self._aside}; rm {self._image}"
        )

    def _inside(self, script: str) -> None:
        # In the mount namespace of the node's kubelet, which mounts the folder into the pod.
        subprocess.run([*namespaces.enter(), "sh", "-c", script], check=True, timeout=120)

    @contextmanager
    def _without_pods(self) -> Generator[None]:
        kubectl, name = self._target.kubectl, f"statefulset/{self._app}"
        number = kubectl.json("get", name)["spec"]["replicas"]
        kubectl("scale", name, "--replicas=0")
        selector = f"--selector={_INSTANCE}={self._app}"
        gone = partial(kubectl.json, "get", "pods", selector)
        wait_until(lambda: not gone()["items"], 90, f"no pod of {self._app} is left")
        try:
            yield
        finally:
            kubectl("scale", name, f"--replicas={number}")
            back = lambda: sum(map(ready, self._target.pods(self._app))) == number  # noqa: E731
            wait_until(back, 120, f"{self._app} is ready")


def _folder(target: Target, app: str) -> Path:
    """Return the folder of the volume of a component's first pod."""
    pod = target.pods(app)[0]
    claim = next(
        one["persistentVolumeClaim"]["claimName"]
        for one in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in one
    )
    volume = target.kubectl.json("get", "persistentvolumeclaim", claim)["spec"]["volumeName"]
    spec = target.kubectl.json("get", "persistentvolume", volume)["spec"]
    return Path(spec.get("hostPath", spec.get("local"))["path"])


@dataclass(frozen=True)
class Fault:
    """A fault with a name, on one component."""

    name: str
    harm: Callable[[Target], None]
    """Does the harm, and returns when the harm is over."""
    around: Callable[[Target], AbstractContextManager[None]] = lambda _: nullcontext()
    """What has to be changed before the fault, and changed back after it."""
    seconds: float = 30
    """How long a trial takes, about."""


def _of_pod(app: str, stopped_seconds: float) -> list[Fault]:
    return [
        Fault(f"{app} killed", lambda target: killed(target, app)),
        # In between: a new pod does not pay for the restart of the former one.
        Fault(f"{app} ended", lambda target: ended(target, app)),
        Fault(f"{app} out of memory", lambda target: memory_used_up(target, app)),
        Fault(
            f"{app} stopped",
            lambda target: stopped(target, app, stopped_seconds),
            seconds=stopped_seconds + 20,
        ),
    ]


def _cut_off(app: str, seconds: float) -> Fault:
    return Fault(
        f"{app} cut off", lambda target: cut_off(target, app, seconds), seconds=seconds + 20
    )


def _volume_full(app: str) -> Fault:
    return Fault(
        f"{app} volume full",
        lambda target: SmallVolume(target, app).fill(),
        lambda target: SmallVolume(target, app).in_place(),
        FULL_SECONDS + 75,
    )


def shared_faults_of(target: Target, *, stop: float, cut: float, full: float) -> list[Fault]:
    """Return the faults that disturb no other stack of the cluster.

    Args:
        target: the stack.
        stop: for how many seconds processes are stopped.
        cut: for how many seconds a pod is cut off.
        full: for how many seconds /tmp is full.
    """
    backends = (target.database.name, *target.stores)
    return [
        *(fault for app in (SERVER, *backends) for fault in _of_pod(app, stop)),
        *(_cut_off(app, cut) for app in backends),
        Fault("worker killed", worker_killed, seconds=20),
        Fault("mlflow's /tmp full", lambda one: scratch_full(one, full), seconds=full + 20),
        Fault("mlflow rolled", rolled, seconds=60),
        Fault("connections ended", connections_ended, seconds=15),
        Fault("all pods deleted", all_pods_deleted, seconds=60),
    ]


def volume_faults_of(target: Target) -> list[Fault]:
    """Return the faults that fill the volume of the database and of each store."""
    # Artifacts are on the volumes of DataNodes; the NameNode's has their names.
    apps = [one for one in target.stores if one != "hdfs-namenode"]
    return [_volume_full(app) for app in (target.database.name, *apps)]


def faults_of(target: Target, cluster: Cluster | None) -> list[Fault]:
    """Return every fault.

    Args:
        target: the stack.
        cluster: the cluster, if the stack has the cluster to itself and the node may be stopped.
    """
    found = [
        *shared_faults_of(target, stop=STOPPED_SECONDS, cut=CUT_SECONDS, full=FULL_SECONDS),
        *volume_faults_of(target),
    ]
    if cluster:
        stop = Fault("node stopped and started", lambda _: node_stopped(cluster), seconds=90)
        found.append(stop)
    return found
