"""A virtual environment with the packages of the server's image, and tests that run in it.

Only numpy differs: the image's version needs a newer Python than this project does.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

_CLONE = Path(__file__).parents[1]
_IMAGE = _CLONE / "images" / "mlflow"
_VENV = _CLONE / ".venv-server"
# Beside other tests on two slow cores, those of hdfs/inside took 869 s.
_MOST_SECONDS = 2400


def run_tests(folder: Path, environment: Mapping[str, str]) -> None:
    """Run the tests in a folder where MLflow is installed, and fail with their output.

    Args:
        folder: Holds the tests, and the conftest.py that counts for them alone.
        environment: Variables beside those of this process.
    """
    _make()
    options = ("-p", "no:cacheprovider", f"--confcutdir={folder}")
    done = subprocess.run(
        [
            *("setpriv", "--pdeathsig=KILL", str(_VENV / "bin" / "python")),
            *("-m", "pytest", "--quiet", *options, str(folder)),
        ],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def _make() -> None:
    """Make the virtual environment, unless it is what the image asks for."""
    with _VENV.with_name(f"{_VENV.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make_alone()


def _make_alone() -> None:
    constraints = (_IMAGE / "constraints.txt").read_text()
    wanted = constraints + (_IMAGE / "requirements.txt").read_text()
    tools = [f"{name}=={version(name)}" for name in ("pytest", "hypothesis")]
    wanted += (_IMAGE / "pyproject.toml").read_text() + " ".join(tools)
    made_for = _VENV / "made-for"
    if made_for.exists() and made_for.read_text() == hashlib.sha256(wanted.encode()).hexdigest():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(_VENV)], check=True, timeout=600)
    pins = _VENV / "constraints.txt"
    lines = constraints.splitlines(keepends=True)
    pins.write_text("".join(line for line in lines if not line.startswith("numpy==")))
    pip = [str(_VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--constraint", str(pins)]
    required = ["--requirement", str(_IMAGE / "requirements.txt"), *tools]
    for wish in (required, ["--no-deps", "mlflow"], ["--no-deps", "--editable", str(_IMAGE)]):
        subprocess.run([*pip, *wish], check=True, timeout=600)
    made_for.write_text(hashlib.sha256(wanted.encode()).hexdigest())
