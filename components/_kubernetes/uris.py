"""Addresses inside the cluster, connection URIs and fingerprints: pure builders, no resources."""

import hashlib
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pulumi


def service_host(service: str, namespace: str) -> str:
    """Return the DNS name of a Service, valid in every namespace of the cluster.

    It stops at ``.svc``: the cluster's own domain is not always ``cluster.local``, and every pod's
    resolver completes it.
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
    """Return an SQLAlchemy URI; ``driver`` names the dialect and its Python driver.

    ``options`` are the driver's own.

    The driver is always named because ``postgresql://`` alone means psycopg 3 under SQLAlchemy 2.1,
    which MLflow 3.17 does not work with. Without ``connect_timeout`` a database that stopped
    answering would hold each request for minutes.
    """
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    query = urlencode({**options, "connect_timeout": 5})
    return f"{driver}://{login}@{host}:{port}/{quote(database, safe='')}?{query}"


def with_connect_timeout(uri: str) -> str:
    """Return a URI that somebody else wrote, with the time limit that ours have."""
    return uri if "connect_timeout=" in uri else _with_options(uri, "connect_timeout=5")


def with_authority(uri: str, file: str) -> str:
    """Return a database's URI with which its driver trusts the certificates in ``file`` alone.

    The driver checks the server's name as well, unless the URI asks for less: ``sslmode=verify-ca``
    (libpq) or ``ssl_check_hostname=false`` (PyMySQL). See ``tls_conflict``.
    """
    if is_mysql(uri):
        return _with_options(uri, f"ssl_ca={file}")
    mode = "" if "sslmode" in _options(uri) else "sslmode=verify-full&"
    return _with_options(uri, f"{mode}sslrootcert={file}")


def tls_conflict(uri: str) -> str | None:
    """Return the option of a database's URI that cannot stand beside a given authority, or None."""
    options = _options(uri)
    if options.get("sslmode", "verify-full") not in ("verify-ca", "verify-full"):
        return "sslmode other than verify-full or verify-ca"
    taken = ("ssl_ca", "ssl_capath", "ssl_disabled") if is_mysql(uri) else ("sslrootcert",)
    return next((option for option in taken if option in options), None)


def is_mysql(uri: str) -> bool:
    """Return whether a database's URI is of MySQL."""
    return urlsplit(uri).scheme.startswith("mysql")


def _options(uri: str) -> dict[str, str]:
    # The last one wins, for both drivers.
    return {key: values[-1] for key, values in parse_qs(urlsplit(uri).query).items()}


def _with_options(uri: str, options: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{options}"


def database_port(uri: str) -> int:
    """Return the port in a database's URI, or else the usual one."""
    parts = urlsplit(uri)
    return parts.port or (3306 if is_mysql(uri) else 5432)


def fingerprint(*values: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return a short hash of the values, safe to show even where the values are secret.

    It goes on the pods that read a Secret, so that they restart when its content changes. What is
    hashed must hold a generated password: 32 random characters cannot be guessed from a hash.
    """
    return pulumi.Output.unsecret(
        pulumi.Output.all(*values).apply(
            lambda resolved: hashlib.sha256("\0".join(resolved).encode()).hexdigest()[:16]
        )
    )
