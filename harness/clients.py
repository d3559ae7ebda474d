"""Runs MLflow clients on this machine or in a pod, with the environment that a stack publishes."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness.kubectl import Kubectl, ready
from harness.programs import CLONE, run
from harness.waiting import wait_until
from lab import locks, paths

SCRIPTS = Path(__file__).parent / "client_scripts"
_PACKAGES = Path(__file__).parent / "client_packages"
_SETTINGS = stacks.settings("minikube", clientWorkspace=True)
VENV = CLONE / ".venv-client"
"""The virtual environment with MLflow's client."""
# MLflow's client would report its use to the internet. Where it cannot, a thread of its own removes
# a variable of the environment, and a request of another thread that reads the environment just
# then fails with KeyError (telemetry/client.py of MLflow 3.17.2; seen once).
_WITHOUT_TELEMETRY = {"DO_NOT_TRACK": "true"}
RELEASED = _PACKAGES / "released"
"""The packages of released MLflows: requirements.txt, and one file of versions for each release."""
NAMESPACE = "mlflow-e2e-client"
"""Namespace of client pods, which `clientNamespaces` of the stack must name."""


class Place(Protocol):
    """Somewhere a client script can run."""

    def run(
        self, script: str, *arguments: str, client_env: Mapping[str, str], seconds: float
    ) -> Any:
        """Run a script to its end and return its last line, which is JSON."""


@dataclass(frozen=True)
class Machine:
    """This machine, with the stack's host names known to the client's process alone."""

    home: Path
    hosts: str
    """Lines as in a hosts file."""
    venv: Path = VENV
    """The virtual environment in which scripts run."""

    def run(
        self,
        script: str,
        *arguments: str,
        client_env: Mapping[str, str],
        seconds: float,
        stdin: str = "",
    ) -> Any:
        """Run a script to its end and return its last line, which is JSON."""
        command = [str(self.venv / "bin" / "python"), str(SCRIPTS / script), *arguments]
        answer = run(command, self.environment(client_env), seconds=seconds, stdin=stdin)
        return json.loads(answer.stdout.splitlines()[-1])

    def start(
        self, script: str, *arguments: str, client_env: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """Start a script, with pipes for its standard input and output."""
        return subprocess.Popen(
            [str(self.venv / "bin" / "python"), str(SCRIPTS / script), *arguments],
            env=self.environment(client_env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def environment(self, client_env: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of a client's process."""
        # Nothing of the tests' own environment, which might help the client.
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PYTHONPATH": str(SCRIPTS / "names"),
            "E2E_HOSTS": self.hosts,
            **_WITHOUT_TELEMETRY,
            **client_env,
        }


@dataclass(frozen=True)
class Pod:
    """A pod of the workspace's image, in a namespace that is not the stack's."""

    kubectl: Kubectl

    def run(
        self, script: str, *arguments: str, client_env: Mapping[str, str], seconds: float
    ) -> Any:
        """Run a script to its end and return its last line, which is JSON."""
        path = SCRIPTS / script
        answer = self.kubectl.python("client", path, *arguments, seconds=seconds, **client_env)
        return json.loads(answer.splitlines()[-1])


@contextmanager
def client_pod(
    environment: Mapping[str, str], namespace: str = NAMESPACE, hosts: str = ""
) -> Generator[Pod]:
    """Make a client pod in a namespace of its own, with a line of a hosts file; remove both."""
    address, *names = hosts.split() or [""]
    kubectl = Kubectl(environment, namespace)
    kubectl("delete", "namespace", namespace, "--ignore-not-found", seconds=120)
    kubectl("create", "namespace", namespace)
    try:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "client"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "hostAliases": [{"ip": address, "hostnames": names}] if hosts else [],
                "containers": [
                    {
                        "name": "client",
                        "image": _SETTINGS.workspace_image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", "infinity"],
                        "env": [
                            {"name": name, "value": value}
                            for name, value in _WITHOUT_TELEMETRY.items()
                        ],
                    }
                ],
            },
        }
        kubectl("apply", "--filename=-", stdin=json.dumps(pod))
        wait_until(lambda: ready(kubectl.json("get", "pod", "client")), 90, "the client pod runs")
        yield Pod(kubectl)
    finally:
        kubectl("delete", "namespace", namespace, seconds=120)


def add_packages(pod: Pod, names: Sequence[str], folder: Path) -> None:
    """Put packages into ``/tmp/packages`` of a pod, without their dependencies."""
    pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    constraints = str(_PACKAGES / "constraints.txt")
    target = [f"--target={folder / 'packages'}", "--no-deps", f"--constraint={constraints}"]
    subprocess.run([*pip, *target, *names], check=True, timeout=120)
    pod.kubectl("cp", str(folder / "packages"), "client:/tmp")


def provide_image(cluster: Cluster) -> None:
    """Put the image of the client pod into the cluster."""
    images.provide(cluster, _SETTINGS)


def make_virtual_environment() -> None:
    """Make the client's virtual environment, unless it fits its requirements."""
    _make(VENV, _PACKAGES / "requirements.txt", _PACKAGES / "constraints.txt")


def released_environment(release: str) -> Path:
    """Make the virtual environment of a released MLflow, such as 3.10.1, and return its folder.

    All clones share it, because it depends on the files of ``RELEASED`` alone.
    """
    venv = paths.CACHE / "clients" / release
    venv.parent.mkdir(parents=True, exist_ok=True)
    constraints = RELEASED / f"{release}.txt"
    # The package `mlflow` depends on training libraries, which no script here imports.
    _make(venv, RELEASED / "requirements.txt", constraints, "--no-deps", f"mlflow=={release}")
    return venv


def _make(venv: Path, requirements: Path, constraints: Path, *more: str) -> None:
    """Make a virtual environment, unless it is there; ``more`` are arguments of a second install.

    Files with the same content make the same environment.
    """
    content = requirements.read_bytes() + constraints.read_bytes()
    wanted = hashlib.sha256(content).hexdigest()
    made_for = venv / "made-for"
    # Without the lock, tests that run at once would clear each other's environment.
    with locks.held(venv.with_name(f"{venv.name}.lock")):
        if made_for.exists() and made_for.read_text() == wanted:
            return
        create = [sys.executable, "-m", "venv", "--clear", str(venv)]
        subprocess.run(create, check=True, timeout=120)
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        required = [f"--requirement={requirements}", f"--constraint={constraints}"]
        subprocess.run([*pip, *required], check=True, timeout=1200)
        if more:
            subprocess.run([*pip, *more], check=True, timeout=300)
        made_for.write_text(wanted)
