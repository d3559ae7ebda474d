"""Packets among all pods and their surroundings go where the policies allow, and nowhere else.

The packets are sent in the pods' own networks, from the machine under them: that takes the lab.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components._kubernetes.network_policies import client_labels
from harness import clients, pod_processes
from harness.kubectl import Kubectl
from harness.programs import ENDS_WITH_US
from harness.stack import Stack
from harness.waiting import wait_until
from lab import ingress, paths
from tests.allowed_connections import TCP, declared
from tests.e2e.support.server_pod import POD_SCRIPTS

pytestmark = pytest.mark.network

STRANGERS = "mlflow-e2e-stranger"
JOBS = ("mlflow-migration", "minio-bucket")
# In a network of the tests alone, for as long as they take. The gateway is the node.
GATEWAY = "203.0.113.1"
NOBODYS = {"metadata": "169.254.169.254", "agent": "169.254.170.23", "internet": "203.0.113.7"}
AT_ONCE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 5000), timeout=3)
    print("reached")
except OSError as error:
    print(error.strerror)
"""

Target = tuple[str, int, str]
"""An address, a port, and a protocol."""


@pytest.fixture(scope="module")
def pods(stack: Stack, environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The stack's pods, others with the labels of its Jobs' or with none, and strangers."""
    # The lab may have been started for the stack.
    if not paths.NETNS_FILE.exists():
        pytest.skip("packets are sent from the lab's machine")
    ours = stack.namespace
    wanted: dict[str, tuple[str, dict[str, str]]] = {
        "neighbour": (ours, {}),
        "training": (clients.NAMESPACE, {}),
        "stranger": (STRANGERS, {"app.kubernetes.io/part-of": "mlflow"}),
        "pretender": (STRANGERS, client_labels("mlflow")),
        "at-once": (ours, client_labels("mlflow")),
        "at-once-denied": (ours, {}),
    }
    for job in JOBS:
        labels = stack.kubectl.json("get", "job", job)["spec"]["template"]["metadata"]["labels"]
        # Not those by which a Job knows its pods.
        wanted[job] = (
            ours,
            {key: labels[key] for key in labels if key.startswith(("app.", "mlflow-"))},
        )
    server = stack.kubectl.pod("mlflow")
    at_once = ["python", "-c", AT_ONCE, server["status"]["podIP"]]
    made = [
        _pod(name, *where, server, at_once if "at-once" in name else ["sleep", "infinity"])
        for name, where in wanted.items()
    ]
    around = [Kubectl(environment, name) for name in (clients.NAMESPACE, STRANGERS)]
    try:
        for kubectl in (*around, stack.kubectl):
            inside = [one for one in made if one["metadata"]["namespace"] == kubectl.namespace]
            if kubectl in around:
                kubectl("delete", "namespace", kubectl.namespace, "--ignore-not-found")
                kubectl("create", "namespace", kubectl.namespace)
            listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": inside})
            kubectl("apply", "--filename=-", stdin=listed)
        yield {
            **{app: stack.kubectl.pod(app) for app in ("mlflow", stack.database.name, "minio")},
            **{
                name: _in_phase(Kubectl(environment, where), name)
                for name, (where, _) in wanted.items()
            },
        }
    finally:
        for kubectl in around:
            kubectl("delete", "namespace", kubectl.namespace, "--ignore-not-found")
        names = [name for name, (where, _) in wanted.items() if where == ours]
        stack.kubectl("delete", "pod", *names, "--ignore-not-found", "--force")


def _pod(
    name: str, namespace: str, labels: dict[str, str], like: dict[str, Any], command: list[str]
) -> dict[str, Any]:
    """Return a pod of the server's image, as restricted as the server is."""
    (container,) = like["spec"]["containers"]
    taken = {key: container[key] for key in ("image", "imagePullPolicy", "securityContext")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": like["spec"]["securityContext"],
            "containers": [{"name": "probe", "command": command, **taken}],
        },
    }


def _in_phase(kubectl: Kubectl, name: str) -> dict[str, Any]:
    phase = "Succeeded" if "at-once" in name else "Running"

    def pod() -> dict[str, Any]:
        found: dict[str, Any] = kubectl.json("get", "pod", name)
        return found if found["status"]["phase"] == phase else {}

    return wait_until(pod, 90, f"{name} is {phase}")


@pytest.fixture(scope="module")
def nobodys() -> Iterator[None]:
    """Have a host beside the node answer for the addresses of a cloud, and of the internet.

    The node itself would not do: it forwards ports 80 and 443 of its own addresses to the ingress
    controller before it looks at the policies.
    """
    with subprocess.Popen([*ENDS_WITH_US, "unshare", "--net", "sleep", "infinity"]) as host:
        network = Path(f"/proc/{host.pid}/ns/net")
        ours = Path("/proc/self/ns/net").readlink()
        try:
            wait_until(lambda: network.readlink() != ours, 10, "the host has a network")
            inside = ("nsenter", f"--net={network}", "ip")
            _ip("link", "add", "nobodys", "type", "veth", "peer", "eth0", "netns", str(host.pid))
            _ip("address", "add", f"{GATEWAY}/32", "dev", "nobodys")
            _ip("link", "set", "nobodys", "up")
            for device in ("lo", "eth0"):
                _ip("link", "set", device, "up", program=inside)
            for address in NOBODYS.values():
                _ip("address", "add", f"{address}/32", "dev", "lo", program=inside)
                _ip("route", "add", address, "dev", "nobodys")
            _ip("route", "add", GATEWAY, "dev", "eth0", program=inside)
            _ip("route", "add", "default", "via", GATEWAY, program=inside)
            yield
        finally:
            host.kill()  # its network goes with it


def _ip(*words: str, program: Sequence[str] = ("ip", "-n", paths.NETNS)) -> None:
    subprocess.run([*program, *words], check=True, capture_output=True, timeout=30)


def probe(network: str, targets: list[Target]) -> list[bool]:
    """Say for each target whether packets from a network reach it."""
    answer = subprocess.run(
        ["nsenter", f"--net={network}", sys.executable, "-IS", str(POD_SCRIPTS / "probe.py")],
        input=json.dumps(targets),
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found: list[bool] = json.loads(answer.stdout)
    return found


@pytest.fixture(scope="module")
def targets(pods: dict[str, Any], environment: dict[str, str]) -> list[tuple[str, Target]]:
    """Everything that packets are sent to, by the names of the declared paths."""
    addresses = {name: pod["status"]["podIP"] for name, pod in _running(pods).items()}
    addresses |= {**NOBODYS, "outside": paths.HOST_ADDRESS}
    controller = Kubectl(environment, ingress.NAMESPACE).pod("traefik")
    return [
        *((name, (address, port, "TCP")) for name, address in addresses.items() for port in TCP),
        *(("dns", (paths.DNS_ADDRESS, 53, protocol)) for protocol in ("TCP", "UDP")),
        ("API server", (paths.API_ADDRESS, 443, "TCP")),
        ("API server", (paths.NODE_ADDRESS, 6443, "TCP")),
        ("kubelet", (paths.NODE_ADDRESS, 10250, "TCP")),
        *(("ingress", (controller["status"]["podIP"], port, "TCP")) for port in (80, 443)),
    ]


def _running(pods: dict[str, Any]) -> dict[str, Any]:
    return {name: pod for name, pod in pods.items() if pod["status"]["phase"] == "Running"}


def _end(target: str, port: int, protocol: str) -> str:
    """Return the end of a path, as it would be declared."""
    return f"{target}: {port}{'/udp' if protocol == 'UDP' else ''}"


@pytest.fixture(scope="module")
def open_paths(
    pods: dict[str, Any],
    environment: dict[str, str],
    targets: list[tuple[str, Target]],
    nobodys: None,  # noqa: ARG001 (they answer)
) -> set[str]:
    """Every path that packets find, as it would be declared."""
    controller = Kubectl(environment, ingress.NAMESPACE).pod("traefik")
    networks = {
        name: f"/proc/{pod_processes.visible_of_pod(pod)[0]}/ns/net"
        for name, pod in {**_running(pods), "ingress": controller}.items()
    }
    asked = [target for _, target in targets]
    with ThreadPoolExecutor(len(networks)) as threads:
        answers = threads.map(lambda network: probe(network, asked), networks.values())
        return {
            f"{source} -> {_end(target, port, protocol)}"
            for source, reached in zip(networks, answers, strict=True)
            for (target, (_, port, protocol)), yes in zip(targets, reached, strict=True)
            if yes and source != target
        }


def test_packets_find_exactly_the_declared_paths(
    stack: Stack,
    pods: dict[str, Any],
    targets: list[tuple[str, Target]],
    open_paths: set[str],
) -> None:
    ours = {name for name, pod in pods.items() if pod["metadata"]["namespace"] == stack.namespace}
    found = {line for line in open_paths if ours & {*line.partition(": ")[0].split(" -> ")}}
    known = {*pods, *(target for target, _ in targets), "ingress"}
    asked = {_end(target, port, protocol) for target, (_, port, protocol) in targets}
    expected = declared([stack.database.name, "minio"], known)
    assert found == {line for line in expected if line.partition(" -> ")[2] in asked}


def test_without_a_policy_the_same_packets_arrive(open_paths: set[str]) -> None:
    """Or the paths above would be closed for want of anybody who answers."""
    assert {
        "stranger -> metadata: 80",
        "stranger -> agent: 80",
        "stranger -> internet: 443",
        "stranger -> outside: 5432",
        "stranger -> API server: 443",
        "stranger -> API server: 6443",
        "stranger -> kubelet: 10250",
        "stranger -> dns: 53/udp",
        "stranger -> training: 5432",
    } <= open_paths


def test_a_pod_is_protected_and_wired_from_its_first_moment(
    stack: Stack, pods: dict[str, Any]
) -> None:
    assert {"at-once", "at-once-denied"} <= pods.keys()
    assert stack.kubectl("logs", "at-once").strip() == "reached"
    assert stack.kubectl("logs", "at-once-denied").strip() == "Connection refused"
