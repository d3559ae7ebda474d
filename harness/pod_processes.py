"""The processes of a pod, if the cluster runs on this machine."""

import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

PROC = Path("/proc")
# The programs that hold a pod's namespaces open: Kubernetes' own, and the lab's.
_PAUSES = {"pause", "catatonit"}


def of_pod(pod: Mapping[str, Any]) -> list[int]:
    """Return the process ids of a pod's containers, without the pause that keeps its network."""
    found: list[int] = []
    uid = pod["metadata"]["uid"]
    # cgroupfs writes the id of a pod as it is, systemd with underscores.
    marks = (f"pod{uid}", f"pod{uid.replace('-', '_')}")
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            groups = (folder / "cgroup").read_text()
            inside = any(mark in groups for mark in marks)
            if inside and (folder / "comm").read_text().strip() not in _PAUSES:
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return sorted(found)


def visible_of_pod(pod: Mapping[str, Any]) -> list[int]:
    """Return the process ids of a pod; skip the test if they run on another machine."""
    found = of_pod(pod)
    if not found:
        pytest.skip("the cluster's processes run on another machine")
    return found


def working_in(folder: Path) -> list[int]:
    """Return the ids of the processes with this working folder, which Pulumi's plugins have."""
    found: list[int] = []
    for process in PROC.glob("[0-9]*"):
        with suppress(OSError):  # the process may just have ended
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    return found


def end_working_in(folder: Path) -> None:
    """End the plugins of a killed Pulumi: a Kubernetes provider was seen to wait for 47 minutes."""
    for left in working_in(folder):
        with suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)


def memory(process: int) -> int:
    """Return a process's proportional share of memory (PSS), in KiB; 0 once it has ended."""
    try:
        text = (PROC / str(process) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) if match else 0


def command_line(process: int) -> str:
    """Return a process's arguments, which everybody on the machine can read."""
    return _words(process, "cmdline")


def serves(process: int) -> bool:
    """Return whether a process is a worker of the tracking server.

    The first workers are forks of `serve`. A later one is `server.workers`, which is started by
    `server.supervise`, the process that stays.
    """
    line = command_line(process)
    return "mlflow_kubernetes.serve" in line and "server.supervise" not in line


def environment(process: int) -> str:
    """Return the variables with which a process was started."""
    return _words(process, "environ")


def _words(process: int, file: str) -> str:
    try:
        return (PROC / str(process) / file).read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
