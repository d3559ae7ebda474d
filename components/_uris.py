"""Addresses inside the cluster, connection URIs and fingerprints: pure builders, no resources."""

import hashlib
from urllib.parse import quote, urlencode, urlsplit

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
    if "connect_timeout=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}connect_timeout=5"


def database_port(uri: str) -> int:
    """Return the port in a database's URI, or else the usual one."""
    parts = urlsplit(uri)
    return parts.port or (3306 if parts.scheme.startswith("mysql") else 5432)


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
