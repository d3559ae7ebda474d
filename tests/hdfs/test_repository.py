"""The HDFS repository of the server image, on a real HDFS and a real server: the tests in inside/.

They run in a virtual environment that holds what the image holds, but for numpy, which there is
newer than this Python allows. That an image made of it works is what tests/e2e shows.
"""

import hashlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lab import images, packages

CLONE = Path(__file__).parents[2]
INSIDE = Path(__file__).parent / "inside"
_IMAGE = CLONE / "images" / "mlflow"
_VENV = CLONE / ".venv-server"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="HDFS is started in its image, as root")


def test_the_repository_does_what_mlflow_asks_for_on_a_real_hdfs() -> None:
    make_virtual_environment()
    packages.need("krb5-kdc", "krb5-admin-server", "libgssapi-krb5-2")
    environment = {
        **os.environ,
        "HADOOP_ROOT": str(images.unpack("apache/hadoop:3.4.2")),
        "HADOOP_USER_NAME": "mlflow",
    }
    python = ["setpriv", "--pdeathsig=KILL", str(_VENV / "bin" / "python")]
    # Not the conftest.py above: it is for this side of the environment.
    own = ("-p", "no:cacheprovider", f"--confcutdir={INSIDE}")
    done = subprocess.run(
        [*python, "-m", "pytest", "--quiet", *own, str(INSIDE)],
        env=environment,
        cwd=INSIDE,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def make_virtual_environment() -> None:
    """Make the server's virtual environment, unless it is what the image asks for."""
    constraints = (_IMAGE / "constraints.txt").read_text()
    wanted = constraints + (_IMAGE / "requirements.txt").read_text()
    tools = [f"{name}=={version(name)}" for name in ("pytest", "hypothesis")]
    wanted += (_IMAGE / "pyproject.toml").read_text() + " ".join(tools)
    made_for = _VENV / "made-for"
    if made_for.exists() and made_for.read_text() == hashlib.sha256(wanted.encode()).hexdigest():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(_VENV)], check=True, timeout=120)
    pins = _VENV / "constraints.txt"
    lines = constraints.splitlines(keepends=True)
    pins.write_text("".join(line for line in lines if not line.startswith("numpy==")))
    pip = [str(_VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--constraint", str(pins)]
    required = ["--requirement", str(_IMAGE / "requirements.txt"), *tools]
    for wish in (required, ["--no-deps", "mlflow"], ["--no-deps", "--editable", str(_IMAGE)]):
        subprocess.run([*pip, *wish], check=True, timeout=600)
    made_for.write_text(hashlib.sha256(wanted.encode()).hexdigest())
