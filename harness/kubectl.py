"""Questions of the tests to a cluster, by the real `kubectl`."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from harness.programs import ENDS_WITH_US, ProgramError, run
from harness.waiting import wait_until


@dataclass(frozen=True)
class Kubectl:
    """`kubectl`, in one namespace or in none."""

    environment: Mapping[str, str]
    namespace: str = "default"

    def command(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        return ["kubectl", f"--namespace={self.namespace}", *arguments]

    def __call__(
        self, *arguments: str, seconds: float = 60, stdin: str = "", check: bool = True
    ) -> str:
        """Run a command to its end and return what it printed."""
        command = self.command(*arguments)
        return run(command, self.environment, seconds=seconds, stdin=stdin, check=check).stdout

    def json(self, *arguments: str) -> Any:
        """Return the answer of `kubectl get` and the like, parsed."""
        return json.loads(self(*arguments, "--output=json"))

    def items(self, *kinds: str) -> list[dict[str, Any]]:
        """Return all objects of these kinds in the namespace."""
        found: list[dict[str, Any]] = self.json("get", ",".join(kinds))["items"]
        return found

    def pod(self, app: str) -> dict[str, Any]:
        """Return the one running pod of a component that is not being deleted.

        Raises:
            ProgramError: if there is none, or several.
        """
        pods: list[dict[str, Any]] = [
            pod
            for pod in self.json("get", "pods", f"--selector=app.kubernetes.io/instance={app}")[
                "items"
            ]
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"
        ]
        if len(pods) != 1:
            raise ProgramError(f"{len(pods)} running pods of {app}")
        return pods[0]

    def is_ready(self, app: str) -> bool:
        """Say whether the one pod of a component is ready."""
        return ready(self.pod(app))

    def python(
        self, target: str, script: Path, *arguments: str, seconds: float = 60, **environment: str
    ) -> str:
        """Run a script in a pod.

        The script and its environment go through standard input, because others could read an
        argument.
        """
        source = f"import os\nos.environ |= {environment!r}\n{script.read_text()}"
        command = ["python", "-", *arguments]
        return self("exec", "-i", target, "--", *command, stdin=source, seconds=seconds)

    @contextmanager
    def forwarded(self, target: str, port: int) -> Generator[int]:
        """Forward a free local port to a Service or pod, and yield its number.

        kubectl ends when it loses a connection. Then it is started again, on the same port.
        """
        with socket.create_server(("127.0.0.1", 0)) as free:
            local: int = free.getsockname()[1]
        forward = self.command("port-forward", target, f"{local}:{port}")
        again = [*ENDS_WITH_US, "bash", "-c", 'while "$@" || sleep 0.2; do :; done', "bash"]
        with subprocess.Popen(
            [*again, *ENDS_WITH_US, *forward],
            env=dict(self.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        ) as process:
            try:
                wait_until(partial(_listens, local), 30, f"port {local} is forwarded to {target}")
                yield local
            finally:
                os.killpg(process.pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod is ready."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod["status"].get("conditions", [])
    )


def restarts(pod: Mapping[str, Any]) -> int:
    """Return how often a pod's containers were restarted."""
    return sum(status["restartCount"] for status in pod["status"]["containerStatuses"])


# Kinds whose objects clusters make and remove all the time.
_PASSING = {"events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"}
_MEASURED = re.compile(r"\.metrics\.k8s\.io$")
# Kinds whose objects come and go with the cluster's own work, such as a provisioner's helper pod.
_RESTLESS = ("Pod", "ReplicaSet", "Job")
# Label of objects that a test makes in the cluster for other programs.
OTHERS_LABEL = "mlflow-e2e/others=true"
_OURS = "!mlflow-e2e/others,!kube-aggregator.kubernetes.io/automanaged"
# Volumes and addresses of Services are in no namespace, but belong to one.
_FIELDS = (
    *("{.kind}", "{.apiVersion}", "{.metadata.name}"),
    *("{.metadata.namespace}", "{.spec.claimRef.namespace}", "{.spec.parentRef.namespace}"),
)


class Object(NamedTuple):
    """An object in a cluster."""

    kind: str
    version: str
    name: str
    namespace: str
    """Namespace of the object, or of its claim or Service; empty for an object of the cluster."""


def inventory(kubectl: Kubectl) -> set[Object]:
    """Return every object of every kind that the cluster lists, except those with `OTHERS_LABEL`.

    The API server itself makes an APIService for each of their kinds, with a label of its own.
    """
    # A test that runs meanwhile may remove a kind between the two calls of kubectl.
    return wait_until(lambda: _inventory(kubectl), 60, "every kind is listed", every=1)


def _inventory(kubectl: Kubectl) -> set[Object]:
    kinds = kubectl("api-resources", "--verbs=list", "--output=name").split()
    lasting = sorted(kind for kind in kinds if kind not in _PASSING and not _MEASURED.search(kind))
    line = "|".join(_FIELDS)
    listed = kubectl(
        *("get", ",".join(lasting), "--all-namespaces", "--ignore-not-found"),
        f"--selector={_OURS}",
        f"--output=jsonpath={{range .items[*]}}{line}{{'\\n'}}{{end}}",
        seconds=120,
    )
    found: set[Object] = set()
    for fields in listed.splitlines():
        kind, version, name, *namespaces = fields.split("|")
        found.add(Object(kind, version, name, "".join(namespaces)))
    return found


def wait_for_nothing_more_than(kubectl: Kubectl, before: set[Object], seconds: float) -> None:
    """Wait until the namespace and the cluster have no object that was not there before.

    Objects in other stacks' namespaces do not count.
    """

    def may_be_ours(found: Object) -> bool:
        if found.kind == "Namespace":
            return found.name == kubectl.namespace
        if found.namespace in ("", kubectl.namespace):
            return True
        system = found.namespace == "default" or found.namespace.startswith("kube-")
        return system and found.kind not in _RESTLESS

    def nothing() -> bool:
        if left := sorted(filter(may_be_ours, inventory(kubectl) - before)):
            raise ProgramError(f"left: {left}")
        return True

    wait_until(nothing, seconds, "nothing is left", every=1)
