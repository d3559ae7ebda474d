"""Debian packages that the lab needs, installed without starting any service."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import locks
from lab.progress import LabError, step

# invoke-rc.d asks this program before it starts a service; 101 means "forbidden".
_POLICY = Path("/usr/sbin/policy-rc.d")
_LOCK = Path("/run/mlflow-lab-packages.lock")


def need(*packages: str) -> None:
    """Install those of the Debian packages that are missing."""
    missing = _missing(packages)
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"the lab needs Debian's packages: {' '.join(missing)} (no apt-get here)")
    if os.geteuid() != 0:
        raise LabError(f"installing {' '.join(missing)} takes root: run this as root")
    # apt-get waits for another apt's installation, but not for another one's update of its lists.
    with locks.held(_LOCK, "installs packages"):
        missing = _missing(packages)
        if not missing:
            return
        with step(f"installing {' '.join(missing)}", usual="1 min"), _no_services():
            _update()
            _apt("install", "--yes", "--no-install-recommends", *missing)


def _missing(packages: tuple[str, ...]) -> list[str]:
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    try:
        shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return list(packages)
    return [package for package in packages if f"{package} installed" not in shown.splitlines()]


@functools.cache
def _update() -> None:
    _apt("update")


def _apt(*arguments: str) -> None:
    # Another apt (a fresh machine's own upgrade) may hold the lock for minutes.
    command = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=600", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise LabError(f"apt-get {' '.join(arguments)} failed: {lines[-1]}")


@contextmanager
def _no_services() -> Iterator[None]:
    if _POLICY.exists():  # the machine's own policy, which is not ours to change
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
