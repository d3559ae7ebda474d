"""Patches that no request of a single client shows, each by the function that it replaces."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography.fernet import Fernet, InvalidToken
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.dbmodels.models import EncryptedString
from mlflow.utils import validation
from mlflow.webhooks import delivery
from mlflow_kubernetes import contract
from mlflow_kubernetes.patches import egress, memory, webhooks
from sqlalchemy.dialects import sqlite
from uvicorn.protocols.http import h11_impl

PRIVATE = "10.1.2.3"


@contextmanager
def restored(*parts: tuple[object, str]) -> Iterator[None]:
    """Put parts of other packages back at the end."""
    before = [(owner, name, getattr(owner, name)) for owner, name in parts]
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def test_a_webhook_of_another_key_is_listed_and_not_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key() -> None:
        name = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
        monkeypatch.setenv(name, Fernet.generate_key().decode())

    key()
    kept = EncryptedString().process_bind_param("secret", sqlite.dialect())
    key()
    with pytest.raises(InvalidToken):
        EncryptedString().process_result_value(kept, sqlite.dialect())
    parts = (EncryptedString, "process_result_value"), (delivery, "_send_webhook_request")
    with restored(*parts):
        webhooks.install()
        found = EncryptedString().process_result_value(kept, sqlite.dialect())

        class Webhook:
            name, secret = "mine", found

        assert found == "unreadable"
        with pytest.raises(MlflowException, match="set the secret again"):
            delivery._send_webhook_request(Webhook())


def test_a_private_address_that_is_open_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MlflowException):
        validation._validate_hostname_resolves_to_public_ips(PRIVATE, "URL")
    parts = (
        (delivery, "_create_webhook_session"),
        (delivery, "_validate_webhook_url"),
        (validation, "_validate_hostname_resolves_to_public_ips"),
        (egress.gateway_ssrf, "build_ssrf_guarded_connector"),
        (egress.gateway_ssrf, "assert_public_upstream_url"),
        (egress.gateway, "_aiohttp_post"),
        (egress.webhook_ssrf._SSRFProtectedHTTPConnection, "_new_conn"),
        (egress.webhook_ssrf._SSRFProtectedHTTPSConnection, "_new_conn"),
    )
    with restored(*parts):
        monkeypatch.setenv(contract.EGRESS, json.dumps(["10.0.0.0/8"]))
        egress.install()
        validation._validate_hostname_resolves_to_public_ips(PRIVATE, "URL")
        with pytest.raises(MlflowException, match=r"no setting of mlflow:egress opens a way to it"):
            validation._validate_hostname_resolves_to_public_ips("192.168.1.1", "URL")


def test_uvicorn_reads_ahead_of_the_application() -> None:
    before = h11_impl.HIGH_WATER_LIMIT
    with restored((h11_impl, "HIGH_WATER_LIMIT")):
        memory.install()
        assert before < h11_impl.HIGH_WATER_LIMIT == 1024 * 1024
