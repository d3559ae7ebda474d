"""A rotation of the keys: former and new servers at once, then everything has the new keys."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import sqlalchemy
from conftest import MOST_SECONDS
from cryptography.fernet import Fernet
from mlflow_kubernetes import contract, end_former, provision_bucket
from mlflow_kubernetes.backup.keys import encrypt_anew, outdated
from mlflow_kubernetes.support import database

PASSPHRASE, WEBHOOK = contract.CRYPTO_PASSPHRASE, contract.WEBHOOK_KEY
VERSION = "MLFLOW_CRYPTO_KEK_VERSION"

# MLflow reads the keys from its environment, when its modules are imported. A server installs the
# patches before.
BEGIN = """
import os
from mlflow_kubernetes.patches import provider_keys, webhooks
webhooks.install()
provider_keys.install()
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

uri, name = os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ["NAME"]
registry, store = Registry(uri), Tracking(uri, "mlflow-artifacts:/")
"""
WRITE = f"""{BEGIN}
event = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
registry.create_webhook(name, "https://1.1.1.1", [event], secret=f"webhook {{name}}")
store.create_gateway_secret(name, {{"api_key": f"key {{name}}"}})
print("stored")
"""
READ = f"""{BEGIN}
found = [store.get_secret_info(secret_name=one).secret_id for one in name.split(",")]
print([store._get_decrypted_secret(one)["api_key"] for one in found])
print(sorted(str(one.secret) for one in registry.list_webhooks()))
"""


def generation(number: int, *former: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a server with new keys, as components/_login.py makes them."""
    keys = {
        PASSPHRASE: secrets.token_hex(),
        WEBHOOK: Fernet.generate_key().decode(),
        VERSION: str(number + 1),
    }
    if former:
        keys[contract.FORMER_KEYS] = json.dumps(
            {
                "passphrases": [one[PASSPHRASE] for one in former],
                "webhooks": [one[WEBHOOK] for one in former],
            }
        )
    return keys


class Stored:
    """A database, and servers with one environment or another."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"sqlite:///{folder}/runs.db"
        self.engine = sqlalchemy.create_engine(self.uri)

    def run(self, program: str, name: str, keys: Mapping[str, str]) -> str:
        python = {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**python, **keys, "MLFLOW_BACKEND_STORE_URI": self.uri, "NAME": name},
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        return done.stdout.strip() or done.stderr

    def reads(self, keys: Mapping[str, str], *names: str) -> bool:
        """Say whether a server reads all that was stored under these names."""
        said = self.run(READ, ",".join(names), keys)
        wanted = [[f"{kind} {name}" for name in names] for kind in ("key", "webhook")]
        return said.splitlines()[-2:] == [str(one) for one in wanted]

    def end_former(self, keys: Mapping[str, str]) -> None:
        """Run the program of the Job that ends the former keys."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**keys, contract.FORMER_POD_SECONDS: "0"}.items():
                patch.setenv(name, value)
            # The options of the Job's engine are those of a server.
            patch.setattr(database, "engine", lambda _: self.engine)
            patch.setattr(database, "wait_for", lambda _: None)
            end_former.main()

    def rows(self) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            secrets_ = connection.exec_driver_sql("SELECT wrapped_dek, kek_version FROM secrets")
            webhooks = connection.exec_driver_sql("SELECT secret FROM webhooks")
            return sorted([*map(tuple, secrets_), *map(tuple, webhooks)], key=str)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path)


def rotated(stored: Stored) -> tuple[dict[str, str], dict[str, str]]:
    """Write "a" with the first keys and "b" with the second ones; return both."""
    first = generation(0)
    stored.run(WRITE, "a", first)
    second = generation(1, first)
    stored.run(WRITE, "b", second)
    return first, second


def test_servers_read_what_a_former_key_encrypted(stored: Stored) -> None:
    first = generation(0)
    assert stored.run(WRITE, "a", first) == "stored"
    second = generation(1, first)
    # Both kinds of server run: each reads what was there before.
    assert stored.reads(first, "a")
    assert stored.reads(second, "a")
    assert stored.run(WRITE, "b", second) == "stored"
    assert stored.reads(second, "a", "b")


def test_the_job_encrypts_everything_anew_and_a_second_run_nothing(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = rotated(stored)
    assert outdated(stored.engine, second) == 2
    stored.end_former(second)
    assert "encrypted 2 secrets with the new keys" in capsys.readouterr().out
    assert outdated(stored.engine, second) == 0

    # The new keys alone read all of it, and the former ones nothing.
    alone = {key: value for key, value in second.items() if key != contract.FORMER_KEYS}
    assert stored.reads(alone, "a", "b")
    assert not stored.reads(first, "a")
    before = stored.rows()
    stored.end_former(second)
    assert "nothing of a former password or key is left" in capsys.readouterr().out
    assert stored.rows() == before


def test_a_rotation_that_never_ended_loses_nothing(stored: Stored) -> None:
    first, second = rotated(stored)
    third = generation(2, second, first)
    assert stored.reads(third, "a", "b")
    stored.end_former(third)
    alone = {key: value for key, value in third.items() if key != contract.FORMER_KEYS}
    assert stored.reads(alone, "a", "b")


def test_a_database_that_refuses_keeps_everything_as_it_was(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    first = generation(0)
    stored.run(WRITE, "a", first)
    second = generation(1, first)
    before = stored.rows()
    with stored.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE UPDATE ON webhooks"
            " BEGIN SELECT RAISE(ABORT, 'no more'); END"
        )
    with pytest.raises(SystemExit):
        stored.end_former(second)
    assert (
        "refuses: no more; the next `pulumi up` goes on" in capsys.readouterr().err.splitlines()[-1]
    )
    assert stored.rows() == before
    assert stored.reads(second, "a")


def test_a_backup_made_meanwhile_is_read_with_the_keys_of_any_stack(stored: Stored) -> None:
    _, second = rotated(stored)
    other = generation(0)
    assert encrypt_anew(stored.engine, second, other) == (4, [])
    assert stored.reads(other, "a", "b")


def test_a_moment_before_or_after_a_rotation_is_read_with_the_keys_of_the_stack(
    stored: Stored,
) -> None:
    first = generation(0)
    second = generation(1, first)
    third = generation(2, second, first)
    for name, keys in (("a", first), ("b", second), ("c", third)):
        assert stored.run(WRITE, name, keys) == "stored"
    # The backup before the moment has the keys of its own time.
    assert encrypt_anew(stored.engine, first, third) == (4, [])
    assert stored.reads({**third, contract.FORMER_KEYS: ""}, "a", "b", "c")


def test_former_keys_of_the_store_are_removed_and_others_stay(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = ["mlflow-server", "mlflow-server-1", "mlflow-server-2", "mlflow-server-old", "reader"]

    class Admin:
        def user_list(self) -> str:
            return json.dumps({key: {"status": "enabled"} for key in known})

        def user_remove(self, key: str) -> None:
            known.remove(key)

    monkeypatch.setattr(provision_bucket, "client_of", lambda *_: Admin())
    store = {
        contract.MINIO_USER: "root",
        contract.MINIO_PASSWORD: "of-root",
        contract.S3_ENDPOINT_URL: "http://minio:9000",
        contract.S3_KEY: "mlflow-server-2",
    }
    stored.end_former(store)
    assert known == ["mlflow-server-2", "mlflow-server-old", "reader"]
    assert "the key mlflow-server-1 of the store is removed" in capsys.readouterr().out
    stored.end_former(store)
    assert "nothing of a former password or key is left" in capsys.readouterr().out


def test_a_value_that_no_key_opens_stays_and_is_named(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.run(WRITE, "a", generation(5))
    before = stored.rows()
    stored.end_former(generation(1, generation(0)))
    assert "key 'a' of a model provider was readable with no key" in capsys.readouterr().out
    assert stored.rows() == before
