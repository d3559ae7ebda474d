"""TLS: the generated certificate, checked by OpenSSL, and the objects of each setting `tls`."""

import ssl
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components import local_certificate
from components.local_certificate import Certificate, certify
from tests.policy_model import End, Port, open_ports
from tests.unit.recorder import Recorded, password, run_stack
from tests.variants import objects

HOSTS = ["ml.example.com", "s3.example.com"]
SCOPE = [*HOSTS, "lab.example.com"]
YEAR = datetime.now(UTC).year
MADE = certify("seed", HOSTS, SCOPE, YEAR)


def parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def speak(made: Certificate, host: str, folder: Path) -> None:
    """Have a client that trusts the authority shake hands with a server under a name."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = folder / "server.pem"
    file.write_text(made.certificate + made.key)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=made.authority)
    # Python 3.13 sets it by itself.
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname=host)
    theirs = server.wrap_bio(up, down, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("host", HOSTS)
def test_openssl_takes_the_certificate_for_every_host(host: str, tmp_path: Path) -> None:
    speak(MADE, host, tmp_path)


@pytest.mark.parametrize("host", ["lab.example.com", "example.com", "other.example"])
def test_and_for_no_other(host: str, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        speak(MADE, host, tmp_path)


def stolen(host: x509.GeneralName) -> Certificate:
    """Return what a thief of the authority's key would make."""
    key, authority = ec.generate_private_key(ec.SECP256R1()), parsed(MADE.authority)
    builder = x509.CertificateBuilder(subject_name=x509.Name([]), issuer_name=authority.subject)
    builder = builder.serial_number(1).public_key(key.public_key())
    builder = builder.not_valid_before(authority.not_valid_before_utc)
    builder = builder.not_valid_after(authority.not_valid_after_utc)
    private = local_certificate._key("seed", "authority")
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(private.public_key())
    builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=True)
    builder = builder.add_extension(issuer, critical=False)
    pem = builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return Certificate(pem, local_certificate._private_pem(key), MADE.authority)


def test_a_stolen_authority_speaks_for_the_stacks_names(tmp_path: Path) -> None:
    speak(stolen(x509.DNSName(HOSTS[0])), HOSTS[0], tmp_path)


@pytest.mark.parametrize("host", ["bank.example", "example.com", "192.0.2.7", "2001:db8::1"])
def test_and_for_nothing_else_in_the_world(host: str, tmp_path: Path) -> None:
    number = host[0].isdigit()
    name = x509.IPAddress(ip_address(host)) if number else x509.DNSName(host)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"permitted subtree|excluded subtree"):
        speak(stolen(name), host, tmp_path)


def test_the_same_inputs_make_the_same_certificate() -> None:
    assert certify("seed", HOSTS, SCOPE, YEAR) == MADE
    assert not {*certify("other", HOSTS, SCOPE, YEAR)} & {*MADE}


def test_a_new_year_renews_the_certificate_and_leaves_the_authority() -> None:
    later = certify("seed", HOSTS, SCOPE, YEAR + 1)
    assert later.authority == MADE.authority
    assert later.key != MADE.key
    for made, year in ((MADE, YEAR), (later, YEAR + 1)):
        first = datetime(year, 1, 1, tzinfo=UTC)
        certificate = parsed(made.certificate)
        assert certificate.not_valid_before_utc == first
        assert certificate.not_valid_after_utc == first.replace(year=year + 2)
        certificate.verify_directly_issued_by(parsed(made.authority))
    assert parsed(MADE.certificate).serial_number != parsed(later.certificate).serial_number


def test_one_more_host_leaves_the_authority() -> None:
    more = certify("seed", SCOPE, SCOPE, YEAR)
    assert more.authority == MADE.authority
    assert more.certificate != MADE.certificate


def test_stacks_have_authorities_of_different_names() -> None:
    assert parsed(certify("other", HOSTS, SCOPE, YEAR).authority).subject != (
        parsed(MADE.authority).subject
    )


def ingresses(stack: Recorded) -> dict[str, Any]:
    return {
        name.split()[1]: inputs
        for name, inputs in stack.kubernetes().items()
        if name.startswith("Ingress")
    }


def certificates(stack: Recorded) -> dict[str, list[dict[str, Any]]]:
    return {name: one["spec"].get("tls") for name, one in ingresses(stack).items()}


@pytest.fixture(scope="module")
def generated() -> Recorded:
    return run_stack(tls="generated", clientWorkspace=True)


HOST_OF = {
    "mlflow": "mlflow-server.local",
    "minio-s3": "mlflow-minio.local",
    "minio-console": "mlflow-minio-console.local",
    "workspace": "mlflow-workspace.local",
}


def test_one_generated_certificate_is_for_every_host_on_the_ingress(generated: Recorded) -> None:
    secret = generated.inputs("Secret ingress-certificate")
    assert secret["type"] == "kubernetes.io/tls"
    content = secret["stringData"]["value"]
    hosts = [*HOST_OF.values()]
    made = certify(password("ingress-seed"), hosts, hosts, YEAR)
    assert content == {"tls.crt": made.certificate, "tls.key": made.key}
    names = parsed(content["tls.crt"]).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert sorted(names.value.get_values_for_type(x509.DNSName)) == sorted(hosts)
    assert certificates(generated) == {
        name: [{"hosts": [host], "secretName": "ingress-certificate"}]
        for name, host in HOST_OF.items()
    }
    assert generated.exports["ca_certificate"] == made.authority
    assert "ca_certificate" not in generated.secret_exports


def test_with_tls_every_address_outside_is_https_and_plain_http_is_sent_there(
    generated: Recorded,
) -> None:
    assert generated.exports["tracking_uri"] == "https://mlflow-server.local"
    client_env = generated.exports["client_env"]
    assert client_env["MLFLOW_TRACKING_URI"] == "https://mlflow-server.local"
    assert generated.exports["s3_endpoint_url"] == "https://mlflow-minio.local"
    assert generated.exports["workspace_url"] == "https://mlflow-workspace.local"
    assert generated.exports["tracking_uri_in_cluster"] == "http://mlflow.mlflow.svc:5000"
    for one in ingresses(generated).values():
        annotations = one["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/ssl-redirect"] == "true"
        assert "cert-manager.io/cluster-issuer" not in annotations
    environment = {
        one["name"]: one.get("value")
        for pod in generated.pods().values()
        for container in pod["containers"]
        for one in container.get("env", [])
    }
    assert environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "https://mlflow-server.local"
    assert environment["MINIO_BROWSER_REDIRECT_URL"] == "https://mlflow-minio-console.local"
    (workspace,) = generated.pods()["StatefulSet workspace-server"]["containers"]
    assert "--IdentityProvider.secure_cookie=True" in workspace["args"]


def test_without_tls_there_is_nothing_of_it() -> None:
    plain = run_stack(clientWorkspace=True)
    assert certificates(plain) == dict.fromkeys(HOST_OF)
    assert not [name for name in plain.resources if "ertificate" in name]
    assert "ca_certificate" not in plain.exports
    (workspace,) = plain.pods()["StatefulSet workspace-server"]["containers"]
    assert not [one for one in workspace["args"] if "secure_cookie" in one]


def test_an_existing_secret_is_named_and_not_made() -> None:
    stack = run_stack(tls="secret", tlsSecret="corporate")
    assert {one["secretName"] for (one,) in certificates(stack).values()} == {"corporate"}
    assert "Secret ingress-certificate" not in stack.resources
    assert stack.exports["tracking_uri"] == "https://mlflow-server.local"


def test_cert_manager_is_asked_for_a_certificate_for_each_host() -> None:
    stack = run_stack(tls="cert-manager", tlsIssuer="letsencrypt")
    issuer = "cert-manager.io/cluster-issuer"
    for name, one in ingresses(stack).items():
        assert one["metadata"]["annotations"][issuer] == "letsencrypt", name
    assert certificates(stack) == {
        name: [{"hosts": [HOST_OF[name]], "secretName": f"{name}-tls"}] for name in ingresses(stack)
    }
    assert stack.exports["tracking_uri"] == "https://mlflow-server.local"


@pytest.mark.parametrize(("tls", "let_in"), [("cert-manager", {"ingress"}), ("none", set[str]())])
def test_the_controller_alone_reaches_the_pods_that_prove_a_host_name(
    tls: str, let_in: set[str]
) -> None:
    issuer = "letsencrypt" if tls == "cert-manager" else ""
    found = objects(run_stack(tls=tls, tlsIssuer=issuer))
    policies = [one for one in found if one["kind"] == "NetworkPolicy"]
    solver = End("solver", "10.0.1.1", "mlflow", {"acme.cert-manager.io/http01-solver": "true"})
    around = [End("ingress", "10.0.2.1", "ingress-nginx"), End("stranger", "10.0.2.2", "stranger")]
    assert {one.name for one in around if open_ports(one, solver, [Port(8089)], policies)} == let_in
    for one in around:
        assert not open_ports(one, solver, [Port(22)], policies)
        assert not open_ports(solver, one, [Port(443)], policies)


@pytest.mark.parametrize(
    ("tls", "gateway", "parent"),
    [
        ("none", "infra/public", {"namespace": "infra", "name": "public"}),
        (
            "gateway",
            "infra/public/https",
            {"namespace": "infra", "name": "public", "sectionName": "https"},
        ),
    ],
)
def test_a_gateway_takes_the_ingresses_place(
    tls: str, gateway: str, parent: dict[str, str]
) -> None:
    stack = run_stack(tls=tls, gateway=gateway, ingressNamespace="infra", clientWorkspace=True)
    assert ingresses(stack) == {}
    routes = {
        name.split()[1]: inputs
        for name, inputs in stack.kubernetes().items()
        if name.startswith("HTTPRoute")
    }
    ports = {"mlflow": 5000, "minio-s3": 9000, "minio-console": 9001, "workspace": 8888}
    for name, host in HOST_OF.items():
        assert routes[name]["apiVersion"] == "gateway.networking.k8s.io/v1"
        service = name.partition("-")[0]
        assert routes[name]["spec"] == {
            "parentRefs": [parent],
            "hostnames": [host],
            "rules": [
                {
                    "backendRefs": [{"name": service, "port": ports[name]}],
                    "timeouts": {"request": "0s"},
                }
            ],
        }
    scheme = "http" if tls == "none" else "https"
    assert stack.exports["tracking_uri"] == f"{scheme}://mlflow-server.local"
    assert stack.exports["hosts_line"].startswith("<address of the gateway> mlflow-server.local ")
