"""A webhook whose secret cannot be decrypted is listed like the others, and is not delivered.

MLflow encrypts the secrets of webhooks with the server's key. Secrets in the database can have
another key: servers of a release before the key was generated used one key in each process, and a
database that was moved has the key of its former server. Because of one such secret, MLflow answers
500 to every list of webhooks. While a rotation of the key is under way, secrets have the former
key, with which this server decrypts them.
"""

import os
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.dbmodels.models import EncryptedString
from mlflow.webhooks import delivery

from mlflow_kubernetes.support.former_keys import FormerKeys

_decrypt: Any = EncryptedString.process_result_value
_send: Any = delivery._send_webhook_request
_former = [Fernet(key) for key in FormerKeys.of(os.environ).webhooks]


class _Unreadable(str):
    """Stands for a secret that was encrypted with another key."""

    __slots__ = ()


def install() -> None:
    """Put these functions in the place of MLflow's."""
    EncryptedString.process_result_value = _decrypt_or_mark  # type: ignore[method-assign]
    delivery._send_webhook_request = _send_with_its_secret


def _decrypt_or_mark(self: EncryptedString, value: str | None, dialect: Any) -> str | None:
    try:
        return _decrypt(self, value, dialect)  # type: ignore[no-any-return]
    except InvalidToken:
        return _decrypt_with_former_keys(value)


def _decrypt_with_former_keys(value: str | None) -> str:
    try:
        if _former and value:
            return MultiFernet(_former).decrypt(value.encode()).decode()
    except InvalidToken:
        pass
    return _Unreadable("unreadable")


def _send_with_its_secret(webhook: Any, *given: Any, **named: Any) -> Any:
    # Without its signature, or with a wrong one, a receiver would take it for somebody else's.
    if isinstance(webhook.secret, _Unreadable):
        raise MlflowException.invalid_parameter_value(
            f"the secret of webhook {webhook.name!r} was encrypted with a key that this server "
            "does not have: set the secret again"
        )
    return _send(webhook, *given, **named)
