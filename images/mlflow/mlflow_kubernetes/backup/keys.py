"""Encrypted columns of MLflow's database: those of other keys are encrypted with new keys.

MLflow 3.17 encrypts two columns: keys of model providers (table `secrets`, mlflow/utils/crypto.py)
and secrets of webhooks (table `webhooks`, `EncryptedString` in
mlflow/store/model_registry/dbmodels/models.py). Passwords of users are hashes, which no key opens.
The other keys are those of another stack, or this stack's own before a rotation.
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

from mlflow_kubernetes.support.former_keys import FormerKeys

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

    Values that have the new keys already stay as they are. A value may also have a former key of
    either side: one that was stored during a rotation, or before a moment that was restored.

    Args:
        engine: the database of runs, with the schema of this MLflow.
        old: MLflow's variables with the keys that encrypted the values, and the former keys.
        new: the same variables with the keys of the servers that will read the values.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses; then nothing has changed.
    """
    of_old, of_new = FormerKeys.of(old), FormerKeys.of(new)
    former = FormerKeys(of_old.passphrases + of_new.passphrases, of_old.webhooks + of_new.webhooks)
    with engine.begin() as connection:
        secrets = _provider_keys(connection, old, new, former)
        webhooks = _webhooks(connection, old, new, former)
    return Encrypted(
        secrets.renewed + webhooks.renewed, [*secrets.unreadable, *webhooks.unreadable]
    )


def outdated(engine: Engine, environment: Mapping[str, str]) -> int:
    """Return how many encrypted values do not have the keys of an environment."""
    table, secret = SqlGatewaySecret.__table__, _WEBHOOKS.c.secret
    key = environment.get(MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY.name)
    with engine.connect() as connection:
        versions = connection.execute(sqlalchemy.select(table.c.kek_version)).scalars().all()
        stored = connection.execute(sqlalchemy.select(secret).where(secret.is_not(None))).scalars()
        webhooks = [token for token in stored if key and not _opens(Fernet(key), token)]
    return sum(version != _version(environment) for version in versions) + len(webhooks)


def _provider_keys(
    connection: Connection, old: Mapping[str, str], new: Mapping[str, str], former: FormerKeys
) -> Encrypted:
    same = _same(old, new, CRYPTO_KEK_PASSPHRASE_ENV_VAR, CRYPTO_KEK_VERSION_ENV_VAR)
    if same and not former.passphrases:
        return Encrypted(0, [])

    @cache
    def manager(passphrase: str, version: int) -> KEKManager:
        # It takes half a second to derive a key.
        return KEKManager(passphrase, version)

    # An empty passphrase would be looked up in the environment, which has the new one.
    ours = new.get(CRYPTO_KEK_PASSPHRASE_ENV_VAR) or DEFAULT_KEK_PASSPHRASE
    theirs = old.get(CRYPTO_KEK_PASSPHRASE_ENV_VAR) or DEFAULT_KEK_PASSPHRASE
    table = SqlGatewaySecret.__table__
    renewed, unreadable = 0, []
    for row in connection.execute(sqlalchemy.select(table)).mappings().all():
        for passphrase in dict.fromkeys([ours, theirs, *former.passphrases]):
            try:
                rotated = rotate_secret_encryption(
                    row["encrypted_value"],
                    row["wrapped_dek"],
                    manager(passphrase, row["kek_version"]),
                    manager(ours, _version(new)),
                )
            except MlflowException:
                continue
            if passphrase != ours or row["kek_version"] != _version(new):
                connection.execute(
                    sqlalchemy.update(table)
                    .where(table.c.secret_id == row["secret_id"])
                    .values(wrapped_dek=rotated.wrapped_dek, kek_version=_version(new))
                )
                renewed += 1
            break
        else:
            unreadable.append(f"key {row['secret_name']!r} of a model provider")
    return Encrypted(renewed, unreadable)


def _webhooks(
    connection: Connection, old: Mapping[str, str], new: Mapping[str, str], former: FormerKeys
) -> Encrypted:
    name = MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY.name
    if (_same(old, new, name) and not former.webhooks) or not new.get(name):
        return Encrypted(0, [])
    secret = _WEBHOOKS.c.secret
    rows = connection.execute(sqlalchemy.select(_WEBHOOKS).where(secret.is_not(None))).all()
    # A server without a key had one of its own in each process, which nobody has kept.
    theirs = [Fernet(key) for key in (old.get(name), *former.webhooks) if key]
    keys = MultiFernet([Fernet(new[name]), *theirs])
    renewed, unreadable = 0, []
    for webhook_id, token in rows:
        if _opens(Fernet(new[name]), token):
            continue
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


def _opens(key: Fernet, token: str) -> bool:
    try:
        key.decrypt(token.encode())
    except InvalidToken:
        return False
    return True


def _version(environment: Mapping[str, str]) -> int:
    return int(environment.get(CRYPTO_KEK_VERSION_ENV_VAR, "1"))


def _same(old: Mapping[str, str], new: Mapping[str, str], *names: str) -> bool:
    return all(old.get(name) == new.get(name) for name in names)
