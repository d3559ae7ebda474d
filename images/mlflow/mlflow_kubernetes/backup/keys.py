"""Encrypted columns of MLflow's database: those of another stack are encrypted with new keys.

MLflow 3.17 encrypts two columns: keys of model providers (table `secrets`, mlflow/utils/crypto.py)
and secrets of webhooks (table `webhooks`, `EncryptedString` in
mlflow/store/model_registry/dbmodels/models.py). Passwords of users are hashes, which no key opens.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import sqlalchemy
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from mlflow.environment_variables import MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.utils.crypto import (
    CRYPTO_KEK_PASSPHRASE_ENV_VAR,
    CRYPTO_KEK_VERSION_ENV_VAR,
    DEFAULT_KEK_PASSPHRASE,
    KEKManager,
    rotate_secret_encryption,
)
from sqlalchemy.engine import Connection, Engine

_WEBHOOKS = sqlalchemy.table(
    "webhooks", sqlalchemy.column("webhook_id"), sqlalchemy.column("secret")
)
"""The table without MLflow's types, which would decrypt with the key of this process."""


class Encrypted(NamedTuple):
    """What became of the encrypted values of a database."""

    renewed: int
    """The number of values that the new keys decrypt now."""
    unreadable: list[str]
    """Names of values that the old keys do not decrypt: these values stay as they are."""


def encrypt_anew(engine: Engine, old: Mapping[str, str], new: Mapping[str, str]) -> Encrypted:
    """Encrypt every encrypted value with the new keys, in one transaction.

    Args:
        engine: the database of runs, with the schema of this MLflow.
        old: MLflow's variables with the keys that encrypted the values.
        new: the same variables with the keys of the servers that will read the values.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses; then nothing has changed.
    """
    with engine.begin() as connection:
        secrets = _provider_keys(connection, old, new)
        webhooks = _webhooks(connection, old, new)
    return Encrypted(
        secrets.renewed + webhooks.renewed, [*secrets.unreadable, *webhooks.unreadable]
    )


def _provider_keys(
    connection: Connection, old: Mapping[str, str], new: Mapping[str, str]
) -> Encrypted:
    if _same(old, new, CRYPTO_KEK_PASSPHRASE_ENV_VAR, CRYPTO_KEK_VERSION_ENV_VAR):
        return Encrypted(0, [])

    @cache
    def old_manager(version: int) -> KEKManager:
        # An empty passphrase would be looked up in the environment, which has the new one.
        return KEKManager(old.get(CRYPTO_KEK_PASSPHRASE_ENV_VAR) or DEFAULT_KEK_PASSPHRASE, version)

    table = SqlGatewaySecret.__table__
    rows = connection.execute(sqlalchemy.select(table)).mappings().all()
    if not rows:
        return Encrypted(0, [])
    renewed, unreadable = 0, []
    new_manager = KEKManager(
        new.get(CRYPTO_KEK_PASSPHRASE_ENV_VAR) or DEFAULT_KEK_PASSPHRASE,
        int(new.get(CRYPTO_KEK_VERSION_ENV_VAR, "1")),
    )
    for row in rows:
        try:
            rotated = rotate_secret_encryption(
                row["encrypted_value"],
                row["wrapped_dek"],
                old_manager(row["kek_version"]),
                new_manager,
            )
        except MlflowException:
            unreadable.append(f"key {row['secret_name']!r} of a model provider")
            continue
        connection.execute(
            sqlalchemy.update(table)
            .where(table.c.secret_id == row["secret_id"])
            .values(wrapped_dek=rotated.wrapped_dek, kek_version=new_manager.kek_version)
        )
        renewed += 1
    return Encrypted(renewed, unreadable)


def _webhooks(connection: Connection, old: Mapping[str, str], new: Mapping[str, str]) -> Encrypted:
    name = MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY.name
    if _same(old, new, name) or not new.get(name):
        return Encrypted(0, [])
    secret = _WEBHOOKS.c.secret
    rows = connection.execute(sqlalchemy.select(_WEBHOOKS).where(secret.is_not(None))).all()
    # A server without a key had one of its own in each process, which nobody has kept.
    keys = MultiFernet([Fernet(new[name]), *([Fernet(old[name])] if old.get(name) else [])])
    renewed, unreadable = 0, []
    for webhook_id, token in rows:
        try:
            renewed_token = keys.rotate(token.encode()).decode()
        except InvalidToken:
            unreadable.append(f"secret of webhook {webhook_id}")
            continue
        connection.execute(
            sqlalchemy.update(_WEBHOOKS)
            .where(_WEBHOOKS.c.webhook_id == webhook_id)
            .values(secret=renewed_token)
        )
        renewed += 1
    return Encrypted(renewed, unreadable)


def _same(old: Mapping[str, str], new: Mapping[str, str], *names: str) -> bool:
    return all(old.get(name) == new.get(name) for name in names)
