"""Debian packages that the lab needs, installed without starting any service."""

import functools
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lab import locks
from lab.processes import run
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
    # apt-get waits for another apt-get that installs packages, but not for one that updates lists.
    with locks.held(_LOCK, "installs packages"):
        missing = _missing(packages)
        if not missing:
            return
        with step(f"installing {' '.join(missing)}", usual="1 min"), _no_services():
            _update()
            _apt("install", "--yes", "--no-install-recommends", *missing)


def _missing(packages: tuple[str, ...]) -> list[str]:
    if shutil.which("dpkg-query") is None:
        return list(packages)
    query = ("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages)
    shown = run(*query, check=False)
    return [package for package in packages if f"{package} installed" not in shown.splitlines()]


@functools.cache
def _update() -> None:
    _apt("update")


def _apt(*arguments: str) -> None:
    # Another apt (a fresh machine's own upgrade) may hold the lock for minutes.
    command = ("apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=600", *arguments)
    run(*command, more={"DEBIAN_FRONTEND": "noninteractive"})


@contextmanager
def _no_services() -> Generator[None]:
    if _POLICY.exists():  # the machine has a policy of its own, which stays
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
