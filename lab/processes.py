"""The lab's long-running processes, each in a control group of its own.

The kernel keeps the list of a group's processes, also when the lab crashes or is killed. The lab
ends a process only while that list has it. So a number that the kernel has given to another process
does no harm.
"""

import functools
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lab import paths
from lab.progress import LabError

GROUP = paths.NETNS
_PIDS = paths.NODE_DIR / "pids"
_CGROUPS = Path("/sys/fs/cgroup")
# What the kubelet asks for on cgroup v2 (pkg/kubelet/cm/cgroup_manager_linux.go).
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb", "io")
_LOG_LIMIT = 10_000_000


def run(
    *command: str | Path,
    stdin: str | None = None,
    check: bool = True,
    cwd: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> str:
    """Run a command in `cwd`, and return what it printed.

    The program reads `stdin`, and has the variables in `more` beside those of this process.

    Raises:
        LabError: if the program is missing, or if it fails and `check` is true. The message has the
            last line that the program printed.
    """
    words = [str(word) for word in command]
    variables = {**os.environ, **(more or {})}
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, check=False, cwd=cwd, env=variables
        )
    except FileNotFoundError:
        raise LabError(f"{words[0]} is missing on this machine") from None
    if check and done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        raise LabError(f"{Path(words[0]).name} failed: {lines[-1]}")
    return done.stdout


def write(path: Path, content: str) -> None:
    """Write a file that only root may read, whole or not at all, and only when it changes."""
    if path.exists() and path.read_text() == content:
        return  # kube-proxy ends when its settings are written, even when they are the same
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(content)
    unfinished.replace(path)


def prepare(labels: Iterable[str]) -> None:
    """Make the control groups that hold the machines' processes and pods, by their labels.

    That of the first machine, whose label is empty, has all others in it, and comes first.
    """
    if not _tracking().exists():
        raise LabError(f"no control groups under {_CGROUPS}: pods cannot run here")
    groups = [Path(GROUP, label) for label in labels]
    for hierarchy, group in itertools.product(_hierarchies(), groups):
        (hierarchy / group).mkdir(exist_ok=True)
        # In a new group of cgroup v1 both are empty, and no process may run in the group.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / setting).exists() and not _unified():
                (hierarchy / group / setting).write_text((hierarchy / setting).read_text())
    if _unified():
        for folder in (_CGROUPS, *(_CGROUPS / group for group in groups)):
            offered = (folder / "cgroup.controllers").read_text().split()
            given = (folder / "cgroup.subtree_control").read_text().split()
            for controller in set(_CONTROLLERS) & set(offered) - set(given):
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def start(name: str, command: list[str], environment: Mapping[str, str]) -> None:
    """Start a process that outlives this one, under the name that the other functions use."""
    group = _tracking() / GROUP / name
    group.mkdir(exist_ok=True)
    for file in (_PIDS / name, paths.LOGS / name):
        file.parent.mkdir(parents=True, exist_ok=True)

    def enter() -> None:
        # Runs in the child before the program. If the lab is killed here, the kernel's list has
        # the process already.
        (group / "cgroup.procs").write_text("0")
        (_PIDS / name).write_text(str(os.getpid()))

    with _log(name).open("ab") as log:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            start_new_session=True,
            preexec_fn=enter,  # noqa: PLW1509 (the lab's own commands have one thread)
        )


def alive(name: str) -> bool:
    """Tell whether the process started under this name still runs."""
    return _main(name) is not None


def any_run() -> bool:
    """Tell whether any process runs in the lab's control groups, whatever lab started it."""
    return any(_pids(folder) for folder in _folders(_tracking() / GROUP))


def age(name: str) -> float:
    """Tell for how many seconds the process started under this name has been running."""
    return time.time() - (_PIDS / name).stat().st_mtime


def why_ended(name: str) -> str:
    """Return the last line that a process left in its log, and where the log is."""
    log = paths.LOGS / f"{name}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"{lines[-1][:300] if lines else 'it said nothing'} (log: {log})"


def end(*names: str, seconds: float = 5) -> None:
    """Ask processes to end. After some seconds, kill them and the processes that they started."""
    mains = {name: pid for name in names if (pid := _main(name))}
    for name, pid in mains.items():
        _signal(_tracking() / GROUP / name, {pid}, signal.SIGTERM)
    _until(lambda: not any(_main(name) for name in mains), seconds)
    for name in names:
        _kill(_tracking() / GROUP / name)


def end_pods(seconds: float = 5) -> None:
    """Ask the processes of all pods to end, and kill them after some seconds."""
    # The second is where the groups of the workers have their pods.
    pods = [*(_tracking() / GROUP).glob("kubepods"), *(_tracking() / GROUP).glob("*/kubepods")]
    for folder in [folder for group in pods for folder in _folders(group)]:
        _signal(folder, _pids(folder), signal.SIGTERM)
    _until(lambda: not any(_pids(folder) for group in pods for folder in _folders(group)), seconds)
    for group in pods:
        _kill(group)


def end_all(label: str = "") -> None:
    """Kill every process of a machine, the pods' and the shims' too, and remove its groups.

    Without a label, this does so with all machines.
    """
    _kill(_tracking() / GROUP / label)
    for hierarchy in _hierarchies():
        for folder in _folders(hierarchy / GROUP / label):
            _until(functools.partial(_remove, folder), 2)


def _kill(group: Path) -> None:
    def gone() -> bool:
        left = {folder: pids for folder in _folders(group) if (pids := _pids(folder))}
        for folder, pids in left.items():
            _signal(folder, pids, signal.SIGKILL)
        return not left

    if not _until(gone, 10):
        raise LabError(f"processes of {group} do not end: {_folders(group)}")


def _signal(folder: Path, pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if pid in _pids(folder):  # the handle is held, so the number stays this process's
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def _main(name: str) -> int | None:
    try:
        pid = int((_PIDS / name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid in _pids(_tracking() / GROUP / name) else None


def _pids(folder: Path) -> set[int]:
    try:
        return {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
    except OSError:  # the group went away
        return set()


def _folders(group: Path) -> list[Path]:
    """List a group and those inside it, the innermost first."""
    return [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]


def _remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # the kernel may take a moment to see that the last process is gone
        return False
    return True


def _until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@functools.cache
def _unified() -> bool:
    return (_CGROUPS / "cgroup.controllers").exists()


@functools.cache
def _hierarchies() -> list[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(mount[1]) for mount in mounts if mount[2] in ("cgroup", "cgroup2")]


def _tracking() -> Path:
    """Return the hierarchy in which the lab looks for its processes.

    On cgroup v1, the pods' processes have to be in the hierarchy too.
    """
    return _CGROUPS if _unified() else _CGROUPS / "memory"


def _log(name: str) -> Path:
    log = paths.LOGS / f"{name}.log"
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    return log
