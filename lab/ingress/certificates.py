"""The certificates nginx serves: files made of the cluster's TLS Secrets, and one of our own."""

import base64
import contextlib
import hashlib
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lightkube.resources.core_v1 import Secret

from lab.ingress.config import FALLBACK_CERTIFICATE
from lab.ingress.rules import name_of
from lab.progress import LabError


def make_fallback(prefix: Path) -> None:
    """Make the certificate of every host that brings none; it is nobody's, and says so."""
    path = prefix / FALLBACK_CERTIFICATE
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-noenc", "-days", "3650", "-keyout", "-"]
    command += ["-subj", "/O=Acme Co/CN=Kubernetes Ingress Controller Fake Certificate"]
    command += ["-addext", "subjectAltName=DNS:ingress.local"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise LabError(f"openssl makes no certificate: {reason}")
    _write(path, done.stdout.encode())


def store(
    prefix: Path, secrets: Iterable[Secret], wanted: set[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Write the wanted Secrets as files; return a file for each, or why there is none."""
    files: dict[str, str] = {}
    errors = {name: "there is no such Secret of type kubernetes.io/tls" for name in wanted}
    for secret in secrets:
        name = name_of(secret)
        if name not in wanted:
            continue
        try:
            files[name] = _file(prefix, secret.data or {})
            del errors[name]
        except (KeyError, ValueError, ssl.SSLError) as error:
            errors[name] = f"it holds no certificate with its key ({error})"
    return files, errors


def prune(prefix: Path, files: Iterable[str]) -> None:
    """Remove the files that are no longer served."""
    kept = {prefix / file for file in (*files, FALLBACK_CERTIFICATE)}
    for path in set((prefix / "certificates").iterdir()) - kept:
        path.unlink()


def _file(prefix: Path, data: dict[str, str]) -> str:
    pem = b"\n".join(base64.b64decode(data[key], validate=True) for key in ("tls.crt", "tls.key"))
    # A new name for new contents: the configuration changes with it, and so nginx reloads.
    file = f"certificates/{hashlib.sha256(pem).hexdigest()}.pem"
    path = prefix / file
    if not path.exists():
        _write(path, pem)
        try:
            # An empty password keeps a locked key from asking for one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password="")
        except ssl.SSLError:
            path.unlink()
            raise
    return file


def _write(path: Path, pem: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    path.touch(mode=0o600)
    path.write_bytes(pem)
