"""Addresses inside the cluster, connection URIs and fingerprints: pure builders, no resources."""

import hashlib
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pulumi

from .._kubernetes.arguments import checked
from .._kubernetes.grammars import ENDPOINT, endpoint


def service_host(service: str, namespace: str) -> str:
    """Return the DNS name of a Service, valid in every namespace of the cluster.

    The name ends in ``.svc``, without the cluster's domain, which is not always ``cluster.local``.
    Every pod's resolver adds the domain.
    """
    return f"{service}.{namespace}.svc"


def database_uri(
    driver: str,
    *,
    user: str,
    password: str,
    host: str,
    port: int,
    database: str,
    **options: str,
) -> str:
    """Return an SQLAlchemy URI.

    ``driver`` names the dialect and its Python driver, and ``options`` are the driver's own. The
    driver is always named: under SQLAlchemy 2.1, ``postgresql://`` alone means psycopg 3, with
    which MLflow 3.17 does not work. Without ``connect_timeout``, which may be among the options, a
    database that does not answer would hold each request for minutes.
    """
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    query = urlencode({**options, "connect_timeout": options.get("connect_timeout", "5")})
    return f"{driver}://{login}@{host}:{port}/{quote(database, safe='')}?{query}"


def with_connect_timeout(uri: str) -> str:
    """Return a user's URI with the limit of ``database_uri``, unless the URI has one."""
    return uri if "connect_timeout=" in uri else _with_options(uri, "connect_timeout=5")


def with_authority(uri: str, file: str) -> str:
    """Return a database's URI by which the driver trusts the certificates in ``file`` alone.

    The driver checks the server's name too, unless the URI has ``sslmode=verify-ca`` (libpq) or
    ``ssl_check_hostname=false`` (PyMySQL). The URI must have no ``tls_conflict``.
    """
    if is_mysql(uri):
        return _with_options(uri, f"ssl_ca={file}")
    mode = "" if "sslmode" in _options(uri) else "sslmode=verify-full&"
    return _with_options(uri, f"{mode}sslrootcert={file}")


def tls_conflict(uri: str) -> str | None:
    """Return the option of a database's URI that excludes ``with_authority``, or None."""
    options = _options(uri)
    if options.get("sslmode", "verify-full") not in ("verify-ca", "verify-full"):
        return "sslmode other than verify-full or verify-ca"
    taken = ("ssl_ca", "ssl_capath", "ssl_disabled") if is_mysql(uri) else ("sslrootcert",)
    return next((option for option in taken if option in options), None)


def is_mysql(uri: str) -> bool:
    """Return whether a database's URI is of MySQL."""
    return urlsplit(uri).scheme.startswith("mysql")


def _options(uri: str) -> dict[str, str]:
    # Of an option that is there twice, both drivers take the last value.
    return {key: values[-1] for key, values in parse_qs(urlsplit(uri).query).items()}


def _with_options(uri: str, options: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{options}"


def database_port(uri: str) -> int:
    """Return the port in a database's URI, or the default port of that database."""
    parts = urlsplit(uri)
    return parts.port or (3306 if is_mysql(uri) else 5432)


def endpoint_port(component: str, url: str | None) -> int:
    """Return the port in the input ``endpoint``, or else the usual one; None: Amazon's own.

    Raises:
        pulumi.RunError: if the input is no URL of an S3 endpoint.
    """
    parts = urlsplit(checked(f"{component}.endpoint", url, endpoint, ENDPOINT) if url else "https:")
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def fingerprint(*values: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return a short hash of the values, which is no secret even if the values are.

    The pods that read a Secret have the hash in an annotation, so that they restart when the
    content of the Secret changes. One of the values must be a generated password, because 32 random
    characters cannot be guessed from a hash.
    """
    return pulumi.Output.unsecret(
        pulumi.Output.all(*values).apply(
            lambda resolved: hashlib.sha256("\0".join(resolved).encode()).hexdigest()[:16]
        )
    )
