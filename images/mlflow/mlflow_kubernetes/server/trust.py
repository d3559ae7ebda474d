"""Certificates that all outgoing calls trust, beside the public ones."""

import os
import shutil
import tempfile

import certifi

from mlflow_kubernetes import contract


def install() -> None:
    """Have this process and its later programs trust the certificates of EGRESS_CA."""
    if not (added := os.environ.get(contract.EGRESS_CA)):
        return
    descriptor, path = tempfile.mkstemp(prefix="mlflow-ca-", suffix=".pem")
    with os.fdopen(descriptor, "wb") as bundle:
        for source in (certifi.where(), added):
            with open(source, "rb") as file:
                shutil.copyfileobj(file, bundle)
            bundle.write(b"\n")
    # OpenSSL (aiohttp, urllib) reads the first variable, requests and boto3 read the second.
    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = path
