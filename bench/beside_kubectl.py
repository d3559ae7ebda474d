"""How soon a stack is up and gone again, compared with plain manifests and `kubectl apply`.

The plain manifests are in plain.yaml. Both sides have the same images, limits and number of
workers. The stack has more to make: a login, a migration, network policies, restricted pods.
"""

import http.client
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from commands.support import stack as stacks
from harness import clients
from harness.kubectl import Kubectl, Object, inventory, wait_for_nothing_more_than
from harness.stack import Stack
from harness.waiting import wait_until

PAIRS = 8
"""How often both are brought up and removed, in turn."""
_MANIFESTS = Path(__file__).parent / "plain.yaml"
_IMAGES = ("postgresImage", "minioImage", "serverImage")
_SECONDS = 300


@dataclass(frozen=True)
class Deploy:
    """Seconds from the start of a command."""

    up: float
    """Until everything is ready."""
    first_run: float
    """Until a client has logged a run by the host name and has read the run back."""
    gone: float
    """From the start of the removal until nothing is left."""


def measure(stack: Stack, home: Path) -> list[tuple[Deploy, Deploy]]:
    """Bring up and remove a stack that is not up, and the plain manifests, in turn."""
    plain = Kubectl(stack.environment, f"{stack.namespace}-kubectl")
    for kubectl in (stack.kubectl, plain):
        # A run that was killed may have left its namespace.
        kubectl("delete", "namespace", kubectl.namespace, "--ignore-not-found", seconds=180)
    before = inventory(plain)
    return [
        (_by_pulumi(stack, home, before), _by_kubectl(plain, home, before)) for _ in range(PAIRS)
    ]


def _by_pulumi(stack: Stack, home: Path, before: set[Object]) -> Deploy:
    def run() -> None:
        _log_a_run(home, stack.outputs()["hosts_line"], stack.client_env())

    return _timed(
        up=lambda: stack.change("up"),
        run=run,
        remove=lambda: stack.change("destroy"),
        gone=lambda: wait_for_nothing_more_than(stack.kubectl, before, _SECONDS),
    )


def _by_kubectl(kubectl: Kubectl, home: Path, before: set[Object]) -> Deploy:
    host = f"{kubectl.namespace}-server.local"
    images = stacks.settings("minikube").images
    named = {name.replace("Image", "_IMAGE").upper(): images[name] for name in _IMAGES}
    manifests = string.Template(_MANIFESTS.read_text()).substitute(named, HOST=host)

    def up() -> None:
        kubectl("create", "namespace", kubectl.namespace)
        kubectl("apply", "--filename=-", stdin=manifests)
        available = ("--for=condition=Available", f"--timeout={_SECONDS}s")
        kubectl("wait", "deployment", "--all", *available, seconds=_SECONDS + 10)

    def run() -> None:
        address = wait_until(partial(_address, kubectl), _SECONDS, "the Ingress has an address")
        _log_a_run(home, f"{address} {host}", {"MLFLOW_TRACKING_URI": f"http://{host}"})

    return _timed(
        up=up,
        run=run,
        remove=lambda: kubectl("delete", "namespace", kubectl.namespace, seconds=_SECONDS),
        gone=lambda: wait_for_nothing_more_than(kubectl, before, _SECONDS),
    )


def _timed(
    *,
    up: Callable[[], object],
    run: Callable[[], object],
    remove: Callable[[], object],
    gone: Callable[[], object],
) -> Deploy:
    start = time.monotonic()
    up()
    is_up = time.monotonic()
    run()
    has_run = time.monotonic()
    remove()
    gone()
    return Deploy(is_up - start, has_run - start, time.monotonic() - has_run)


def _address(kubectl: Kubectl) -> str:
    published = "--output=jsonpath={.items[*].status.loadBalancer.ingress[0].ip}"
    return kubectl("get", "ingress", published)


def _log_a_run(home: Path, hosts: str, client_env: Mapping[str, str]) -> None:
    """Log a run and read it back, as soon as the ingress controller knows the server."""
    address, host, *_ = hosts.split()

    def answers() -> bool:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/health", headers={"Host": host})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    wait_until(answers, _SECONDS, "the ingress controller knows the server", every=0.2)
    clients.Machine(home, hosts).run("first_run.py", client_env=client_env, seconds=120)
