"""The scanners, built and installed once, into the cache."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from lab import paths, tools
from lab.progress import step

collect_ignore = ["inside"]
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def kube_score() -> Path:
    """The program."""
    tools.build("kube-score")
    return tools.program("kube-score")


@pytest.fixture(scope="session")
def scanners() -> Path:
    """The folder with the programs of a virtual environment that holds checkov and pip-audit."""
    asked = [HERE / "requirements.txt", HERE / "constraints.txt"]
    wanted = sys.version + "".join(file.read_text() for file in asked)
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    environment = paths.CACHE / f"scanners-{digest}"
    made = environment / "made"
    if not made.exists():
        with step("installing checkov and pip-audit", usual="1 min"):
            venv = [sys.executable, "-m", "venv", "--clear", str(environment)]
            subprocess.run(venv, check=True, timeout=600)
            pip = [str(environment / "bin" / "pip"), "install", "--quiet"]
            options = [f"--requirement={asked[0]}", f"--constraint={asked[1]}"]
            subprocess.run(
                [*pip, "--disable-pip-version-check", *options], check=True, timeout=6000
            )
            made.touch()
    return environment / "bin"
