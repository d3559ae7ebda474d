"""HTTPS for clients: with a generated certificate, with a user's, and with cert-manager's."""

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.client_env import trusting
from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.up import address_in
from harness import clients
from harness.kubectl import Kubectl
from harness.programs import CLONE, ProgramError
from harness.stack import Outputs, Stack
from harness.waiting import wait_until
from tests.e2e.support import secret_search, third_party
from tests.e2e.support.external_servers import certificate
from tests.e2e.support.secret_search import found_in
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of, published

NAMESPACE = "mlflow-e2e-tls"
CERT_MANAGER = "mlflow-e2e-cert-manager"
FOLDER = CLONE / "tests" / "e2e" / "support" / "cert_manager"
IMAGE = "mlflow-kubernetes/test-cert-manager:1.21.2"


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is reached by HTTPS."""
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(cluster, tmp_path_factory.mktemp("tls"), NAMESPACE) as stack:
        stack.set(tls="generated")
        stack.change("up")
        yield stack


@pytest.fixture(scope="module")
def outputs(stack: Stack) -> Outputs:
    return published(stack)


@pytest.fixture(scope="module")
def hosts(outputs: Outputs) -> list[str]:
    """Every host name on the ingress."""
    names: list[str] = outputs["hosts_line"].split()[1:]
    assert len(names) == 3
    return names


@pytest.fixture(scope="module")
def address(outputs: Outputs) -> str:
    """The address of the ingress."""
    found = address_in(outputs["hosts_line"])
    assert found
    return found


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def client_env(outputs: Outputs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `make client-env` exports."""
    file = tmp_path_factory.mktemp("trust") / "ca.pem"
    return trusting(file, outputs["client_env"], outputs)


def names_shown(address: str, host: str, authority: str) -> list[str]:
    """Return the names in the certificate that a host shows, which must be by the authority."""
    context = ssl.create_default_context(cadata=authority)
    with (
        socket.create_connection((address, 443), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=host) as secured,
    ):
        shown: Any = secured.getpeercert()
    return [name for kind, name in shown["subjectAltName"] if kind == "DNS"]


def test_every_host_shows_a_certificate_for_the_hosts_of_the_ingress(
    address: str, hosts: list[str], outputs: Outputs
) -> None:
    for host in hosts:
        assert sorted(names_shown(address, host, outputs["ca_certificate"])) == sorted(hosts)


def test_what_comes_without_tls_is_sent_to_where_it_is(address: str, hosts: list[str]) -> None:
    for host in hosts:
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("POST", "/api/2.0/x?y=z", body="password", headers={"Host": host})
        answer = connection.getresponse()
        location = f"https://{host}/api/2.0/x?y=z"
        assert (answer.status, answer.headers["Location"]) == (308, location)


def test_a_client_with_the_authority_does_its_work(
    machine: clients.Machine, client_env: dict[str, str]
) -> None:
    assert client_env["MLFLOW_TRACKING_URI"] == f"https://{NAMESPACE}-server.local"
    report = machine.run("first_run.py", client_env=client_env, seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}


def test_a_client_without_it_gives_its_password_to_nobody(
    machine: clients.Machine, client_env: dict[str, str]
) -> None:
    without = {key: value for key, value in client_env.items() if "CERT_PATH" not in key}
    without["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    with pytest.raises(ProgramError, match="CERTIFICATE_VERIFY_FAILED"):
        machine.run("first_run.py", client_env=without, seconds=60)


def test_there_is_nothing_more_to_do(stack: Stack) -> None:
    stack.change("up", "--expect-no-changes")


def test_the_key_is_in_its_secret_alone_and_the_authoritys_in_none(stack: Stack) -> None:
    seed = stack.generated_secrets()["ingress-seed"]
    kept = stack.kubectl.json("get", "secret", "ingress-certificate")
    assert kept["type"] == "kubernetes.io/tls"
    key = base64.b64decode(kept["data"]["tls.key"]).decode()
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    # Any line of it that holds the number itself.
    line = key.splitlines()[1]
    in_secrets = stack.kubectl("get", "secrets", "--output=yaml")
    assert found_in(in_secrets, {"seed": seed, "key": line}) == ["key"]
    secret_search.assert_kept(stack, private_key=line)


def assert_settled(stack: Stack) -> None:
    """Assert that there is nothing more to do once the state has every Ingress as it is.

    Pulumi's provider takes a changed Ingress that has an address from its own cache, which may
    still hold the Ingress as it was before. The next `up` then notes the change once more.
    """
    stack.change("up")
    stack.change("up", "--expect-no-changes")


def assert_shown(
    stack: Stack,
    machine: clients.Machine,
    address: str,
    certificates: dict[str, list[str]],
    ca: str,
) -> None:
    """Assert that each host shows a certificate for its names, and serves clients that trust it."""

    def shown() -> bool:
        return all(
            sorted(names_shown(address, host, ca)) == sorted(names)
            for host, names in certificates.items()
        )

    wait_until(shown, 60, "every host shows its certificate")
    trusted = machine.home / "trusted.pem"
    trusted.write_text(ca)
    client_env = stack.client_env(MLFLOW_TRACKING_SERVER_CERT_PATH=str(trusted))
    report = machine.run("first_run.py", client_env=client_env, seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}


def test_a_secret_that_is_there_is_used(
    stack: Stack, machine: clients.Machine, hosts: list[str], address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "corporate"
    ca = certificate(folder, ",".join(f"DNS:{host}" for host in hosts))
    files = (f"--cert={folder / 'public.crt'}", f"--key={folder / 'private.key'}")
    stack.kubectl("create", "secret", "tls", "corporate", *files)
    stack.set(tls="secret", tlsSecret="corporate")
    stack.change("up")
    assert_shown(stack, machine, address, dict.fromkeys(hosts, hosts), ca)
    assert_settled(stack)
    stack.pulumi("config", "rm", "--stack", "minikube", "tlsSecret")


@pytest.fixture
def authority(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """The certificate of an authority, by which cert-manager signs what Ingresses ask for."""
    kubectl = Kubectl(cluster.environment, CERT_MANAGER)
    third_party.provide(cluster, IMAGE, FOLDER)
    module = third_party.module(cluster, "github.com/cert-manager/cert-manager", FOLDER)
    kinds = sorted((module / "deploy" / "crds").glob("*.yaml"))
    own = (FOLDER / "objects.yaml").read_text().replace("IMAGE", IMAGE)
    folder = tmp_path / "authority"
    trust = certificate(folder, f"DNS:{CERT_MANAGER}")
    # A run that was killed may have left its namespace.
    kubectl("delete", "namespace", CERT_MANAGER, "--ignore-not-found", seconds=120)
    with third_party.applied(cluster, kubectl, kinds):
        try:
            kubectl("create", "namespace", CERT_MANAGER)
            kubectl(
                *("create", "secret", "tls", "authority"),
                *(f"--cert={folder / 'public.crt'}", f"--key={folder / 'private.key'}"),
            )
            wait_until(lambda: not kubectl.items("clusterissuers"), 30, "the cluster knows issuers")
            kubectl("apply", "--filename=-", stdin=own)
            yield trust
        finally:
            # Before its kinds: it would go on asking for what is being deleted.
            kubectl("delete", "namespace", CERT_MANAGER, "--ignore-not-found", seconds=120)
            kubectl("delete", "clusterrolebinding", CERT_MANAGER, "--ignore-not-found")


@pytest.mark.long
def test_cert_manager_fills_what_its_annotation_asks_for(
    stack: Stack, machine: clients.Machine, hosts: list[str], address: str, authority: str
) -> None:
    stack.set(tls="cert-manager", tlsIssuer=CERT_MANAGER)
    stack.change("up")
    assert_shown(stack, machine, address, {host: [host] for host in hosts}, authority)
    assert_settled(stack)
