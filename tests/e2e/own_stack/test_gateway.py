"""A stack behind a Gateway that another team runs, in HTTPS: Traefik, in a namespace of its own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.kubectl import Kubectl, ready
from harness.programs import CLONE, ProgramError
from harness.stack import Stack
from harness.waiting import wait_until
from lab import tools
from tests.e2e.support import third_party
from tests.e2e.support.external_servers import certificate
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.training_job import MEDIUM, job
from tests.unit.recorder import run_stack
from tests.variants import objects

NAMESPACE = "mlflow-e2e-gateway"
TRAEFIK = "mlflow-e2e-traefik"
HERE = CLONE / "tests" / "e2e" / "support" / "gateway"
IMAGE = "mlflow-kubernetes/test-gateway:1"
THEIR_GATEWAY: dict[str, Any] = {
    "tls": "gateway",
    "gateway": f"{TRAEFIK}/public/https",
    "ingressNamespace": TRAEFIK,
}
PATH = "/team/mlflow"
"""Of the tracking server: the rest of its host is for others."""
HOSTS = [f"{NAMESPACE}-{what}.local" for what in ("server", "minio", "console")]
TRUSTED = "/tmp/ca.pem"  # noqa: S108 (the pod's own)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the certificate of the Gateway, and its key."""
    folder = tmp_path_factory.mktemp("gateway") / "certificate"
    certificate(folder, ",".join(f"DNS:{host}" for host in HOSTS))
    return folder


@pytest.fixture(scope="module")
def gateway(
    cluster: Cluster, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    """`kubectl` in the Gateway's namespace."""
    kubectl = Kubectl(cluster.environment, TRAEFIK)
    folder = tmp_path_factory.mktemp("image") / "gateway"
    folder.mkdir()
    for file in (HERE / "Dockerfile", tools.wheel_pin("traefik")):
        shutil.copy(file, folder)
    third_party.provide(cluster, IMAGE, folder)
    module = third_party.module(cluster, "sigs.k8s.io/gateway-api", HERE)
    kinds = sorted((module / "config" / "crd" / "standard").glob("*.yaml"))
    own = (HERE / "objects.yaml").read_text().replace("IMAGE", IMAGE).replace("NAMESPACE", TRAEFIK)
    # A run that was killed may have left its namespace.
    kubectl("delete", "namespace", TRAEFIK, "--ignore-not-found", seconds=120)
    with third_party.applied(cluster, kubectl, kinds):
        try:
            kubectl("create", "namespace", TRAEFIK)
            kubectl(
                *("create", "secret", "tls", "certificate"),
                f"--cert={authority / 'public.crt'}",
                f"--key={authority / 'private.key'}",
            )
            wait_until(lambda: not kubectl.items("gateways"), 30, "the cluster knows Gateways")
            kubectl("apply", "--filename=-", stdin=own)
            wait_until(lambda: ready(kubectl.json("get", "pod", "gateway")), 90, "Traefik runs")
            yield kubectl
        finally:
            kubectl("delete", "namespace", TRAEFIK, "--ignore-not-found", seconds=120)
            kubectl("delete", "clusterrole,clusterrolebinding", TRAEFIK, "--ignore-not-found")


@pytest.fixture(scope="module")
def stack(
    cluster: Cluster,
    gateway: Kubectl,  # noqa: ARG001 (it is there before the stack, and after it)
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack that is reached through it."""
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(cluster, tmp_path_factory.mktemp("stack"), NAMESPACE) as stack:
        stack.set(**THEIR_GATEWAY, trackingHost=f"{HOSTS[0]}{PATH}")
        stack.change("up")
        yield stack


@pytest.fixture(scope="module")
def client(
    cluster: Cluster, gateway: Kubectl, authority: Path, stack: Stack
) -> Iterator[clients.Pod]:
    """A client that finds the stack's hosts at the Gateway, and trusts its certificate."""
    clients.provide_image(cluster)
    address = gateway.json("get", "service", "gateway")["spec"]["clusterIP"]
    told = stack.outputs()["hosts_line"].replace("<address of the gateway>", address)
    assert told.split() == [address, *HOSTS]
    with clients.client_pod(cluster.environment, f"{NAMESPACE}-client", told) as pod:
        trust = (authority / "public.crt").read_text()
        pod.kubectl("exec", "-i", "client", "--", "tee", TRUSTED, stdin=trust)
        yield pod


def test_every_route_is_accepted_and_there_is_no_ingress(stack: Stack) -> None:
    def conditions() -> dict[str, set[str]]:
        return {
            route["spec"]["hostnames"][0]: {
                condition["type"]
                for parent in route.get("status", {}).get("parents", [])
                for condition in parent["conditions"]
                if condition["status"] == "True"
            }
            for route in stack.kubectl.items("httproutes")
        }

    wanted = {host: {"Accepted", "ResolvedRefs"} for host in HOSTS}
    wait_until(lambda: conditions() == wanted, 30, "the routes are accepted")
    assert stack.kubectl.items("ingresses") == []


def test_a_client_does_its_work(stack: Stack, client: clients.Pod) -> None:
    client_env = stack.client_env(MLFLOW_TRACKING_SERVER_CERT_PATH=TRUSTED)
    assert client_env["MLFLOW_TRACKING_URI"] == f"https://{HOSTS[0]}{PATH}"
    report = job(client, "gateway", client_env, MEDIUM)
    assert [(one["size"], one["equal"]) for one in report["artifacts"]] == [(MEDIUM, True)]
    assert report["predictions_equal"]


def test_every_host_is_served_by_https_alone(client: clients.Pod) -> None:
    sites = [f"{HOSTS[0]}{PATH}/", *(f"{host}/" for host in (*HOSTS[1:], HOSTS[0]))]
    asked = [f"{scheme}://{site}" for site in sites for scheme in ("https", "http")]
    status = client.run("ask_hosts.py", *asked, client_env={"CA": TRUSTED}, seconds=60)
    # The server's page, the store's API and its console ask for a login, or show one. The listener
    # without TLS has no route, nor has the rest of the server's host.
    assert [status[url] for url in asked] == [401, 404, 403, 404, 200, 404, 404, 404]


def test_there_is_nothing_more_to_do(stack: Stack) -> None:
    stack.change("up", "--expect-no-changes")


def test_kubernetes_takes_every_route(stack: Stack) -> None:
    rendered = run_stack(namespace=NAMESPACE, **THEIR_GATEWAY, clientWorkspace=True)
    routes = [one for one in objects(rendered) if one["kind"] == "HTTPRoute"]
    assert len(routes) == 4

    def dry_run(manifest: dict[str, Any]) -> str:
        how = ("--server-side", "--force-conflicts", "--dry-run=server", "--output=json")
        return stack.kubectl("apply", *how, "--filename=-", stdin=json.dumps(manifest))

    for route in routes:
        spec = json.loads(dry_run(route))["spec"]
        # What was left to its default is what is meant.
        assert spec["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
        assert spec["parentRefs"][0]["kind"] == "Gateway"
    routes[0]["spec"]["rules"][0]["timeouts"]["request"] = "for ever"
    with pytest.raises(ProgramError, match=r"spec\.rules\[0\]\.timeouts\.request"):
        dry_run(routes[0])


def test_ingresses_take_the_place_of_routes(stack: Stack) -> None:
    stack.set(tls="none")
    for key in ("gateway", "ingressNamespace"):
        stack.pulumi("config", "rm", "--stack", "minikube", key)
    planned = stack.change("preview")
    for kind, step in (("HTTPRoute", "delete"), ("Ingress", "create")):
        # Pulumi names a resource again when there is more to say about it.
        lines = {line.strip() for line in planned.splitlines() if f":{kind} " in line}
        assert len(lines) == 3
        assert all(f" {step}" in line for line in lines), lines
