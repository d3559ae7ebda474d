"""A certificate for the stack's host names, signed by an authority of the stack's own."""

import ipaddress
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ._component import Component
from ._defaults import NAMESPACE
from ._kubernetes.arguments import checked, known_keys
from ._kubernetes.grammars import HOST, host_name, object_name
from ._kubernetes.labels import labels, metadata
from ._kubernetes.retention import RetentionArgs, generated_password

_FIRST_YEAR, _LAST_YEAR = 2026, 2056
"""Years of the authority's certificate. They are fixed, so that clients need to trust it once."""
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of the curve P-256 (FIPS 186-4, D.1.2.3)."""
_EVERY_ADDRESS = [x509.IPAddress(ipaddress.ip_network(net)) for net in ("0.0.0.0/0", "::/0")]


class Certificate(NamedTuple):
    """A certificate, its private key, and the authority to trust, as PEM."""

    certificate: str
    key: str
    authority: str


class LocalCertificateArgs(TypedDict):
    """Inputs of :class:`LocalCertificate`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives the Secret. Defaults to ``default``."""
    hosts: list[str]
    """Host names in the certificate. Required because a certificate needs names."""
    scope: NotRequired[list[str]]
    """All host names for which the authority can sign. A client that trusts the authority trusts it
    for these names alone. A change makes another authority. Defaults to ``hosts``."""
    year: NotRequired[int]
    """First year of the certificate. Defaults to the current year, so that the first ``up`` of a
    year renews the certificate."""
    retention: NotRequired[RetentionArgs]
    """What becomes of generated passwords: ``StackNamespace.retention``. Defaults to: Pulumi may
    delete them."""


class LocalCertificate(Component):
    """An authority that can sign for the stack's host names alone, and its one certificate.

    Keys and certificates are derived from a seed, which is encrypted in the state. So an ``up``
    with nothing to do changes nothing. The first ``up`` of a year renews the certificate, which is
    valid for two years. The authority stays. Its key is in no cluster.
    """

    secret: pulumi.Output[str]
    """Name of the Secret that an Ingress reads."""
    authority: pulumi.Output[str]
    """The authority's certificate, which clients have to trust: PEM, no secret."""

    def __init__(
        self, name: str, args: LocalCertificateArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        known_keys(name, args, LocalCertificateArgs)
        for host in args["hosts"]:
            checked(f"{name}.hosts", host, host_name, HOST)
        for domain in args.get("scope", []):
            checked(f"{name}.scope", domain, object_name, "a host name, or a domain")
        super().__init__("LocalCertificate", name, args, opts)
        child = pulumi.ResourceOptions(parent=self)
        hosts = args["hosts"]
        scope, year = args.get("scope", hosts), args.get("year", datetime.now(UTC).year)
        seed = generated_password(f"{name}-seed", 48, args.get("retention", {}), child)
        made = seed.apply(lambda known: certify(known, hosts, scope, year))
        secret = k8s.core.v1.Secret(
            f"{name}-certificate",
            metadata=metadata(
                f"{name}-certificate",
                args.get("namespace", NAMESPACE),
                labels(name, "mlflow", "certificate"),
            ),
            type="kubernetes.io/tls",
            string_data={
                "tls.crt": made.apply(lambda known: known.certificate),
                "tls.key": made.apply(lambda known: known.key),
            },
            opts=child,
        )
        self.secret = secret.metadata.name
        self.authority = pulumi.Output.unsecret(made.apply(lambda known: known.authority))
        self.register_outputs({"secret": self.secret, "authority": self.authority})


def certify(seed: str, hosts: list[str], scope: list[str], year: int) -> Certificate:
    """Return the certificate that is derived from the inputs: the same for the same inputs."""
    authority_key = _key(seed, "authority")
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mlflow-kubernetes"),
            # A name for each stack, because browsers mix up authorities of the same name.
            x509.NameAttribute(
                NameOID.COMMON_NAME, f"local authority {_public(authority_key).hex()[:16]}"
            ),
        ]
    )
    # The authority can sign for the stack's host names, and for no address.
    limits = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(host) for host in sorted(set(scope))],
        excluded_subtrees=_EVERY_ADDRESS,
    )
    authority = _signed(
        _certificate(name, authority_key, _FIRST_YEAR, _LAST_YEAR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(limits, critical=True),
        name,
        authority_key,
    )
    key = _key(seed, f"certificate of {year}")
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mlflow-kubernetes")])
    certificate = _signed(
        # Every platform accepts two years. Apple's refuse 826 days and more (HT210176).
        _certificate(subject, key, year, year + 2)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, hosts)), critical=False),
        name,
        authority_key,
    )
    return Certificate(_pem(certificate), _private_pem(key), _pem(authority))


def _key(seed: str, purpose: str) -> ec.EllipticCurvePrivateKey:
    # 64 bits more than the order has, so that all keys are equally likely (FIPS 186-5, A.2.1).
    material = HKDF(hashes.SHA256(), 40, salt=None, info=purpose.encode()).derive(seed.encode())
    return ec.derive_private_key(int.from_bytes(material) % (_ORDER - 1) + 1, ec.SECP256R1())


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, first: int, end: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .not_valid_before(datetime(first, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(end, 1, 1, tzinfo=UTC))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _signed(
    builder: x509.CertificateBuilder,
    issuer: x509.Name,
    authority: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Return a signed certificate, whose serial number is derived from its content."""
    complete = builder.issuer_name(issuer).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
    )

    def sign(number: int) -> x509.Certificate:
        # Without `ecdsa_deterministic` (RFC 6979), each `up` would make another signature.
        return complete.serial_number(number).sign(
            authority, hashes.SHA256(), ecdsa_deterministic=True
        )

    return sign(int.from_bytes(sha256(sign(1).tbs_certificate_bytes).digest()[:16]))


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
