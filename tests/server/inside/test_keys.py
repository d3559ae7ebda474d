"""Values that another stack encrypted are read with this stack's keys."""

import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy
from conftest import MOST_SECONDS
from cryptography.fernet import Fernet
from mlflow_kubernetes.backup.keys import encrypt_anew

# MLflow reads the keys from its environment, when its modules are imported.
WRITE = """
import os
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
event = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
Registry(uri).create_webhook("told", "https://1.1.1.1", [event], secret="of the webhook")
Tracking(uri, "mlflow-artifacts:/").create_gateway_secret("provider", {"api_key": "of-the-key"})
"""
READ = """
import os
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
store = Tracking(uri, "mlflow-artifacts:/")
secret = store.get_secret_info(secret_name="provider").secret_id
print(store._get_decrypted_secret(secret), [one.secret for one in Registry(uri).list_webhooks()])
"""
BOTH = "{'api_key': 'of-the-key'} ['of the webhook']"


def keys() -> dict[str, str]:
    return {
        "MLFLOW_CRYPTO_KEK_PASSPHRASE": secrets.token_hex(),
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
    }


def run(program: str, uri: str, keys: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**keys, "MLFLOW_BACKEND_STORE_URI": uri},
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )


def test_values_of_another_stack_are_read_with_this_stacks_keys(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/runs.db"
    old, new = keys(), keys()
    written = run(WRITE, uri, old)
    assert written.returncode == 0, written.stderr
    assert run(READ, uri, new).returncode != 0

    engine = sqlalchemy.create_engine(uri)
    assert encrypt_anew(engine, old, new) == (2, [])
    read = run(READ, uri, new)
    assert read.stdout.strip().endswith(BOTH), read.stderr

    # With keys of a third stack, nothing changes, and each value is named.
    renewed, unreadable = encrypt_anew(engine, keys(), keys())
    assert renewed == 0
    assert unreadable[0] == "key 'provider' of a model provider"
    assert unreadable[1].startswith("secret of webhook ")
    assert encrypt_anew(engine, new, new) == (0, [])
    assert run(READ, uri, new).stdout.strip().endswith(BOTH)
