"""Who gets in: generated passwords and keys, each in the one Secret that its reader needs.

That nobody gets in without them, tests/e2e shows on the real server.
"""

import json
import re

import pytest
from cryptography.fernet import Fernet

from components._login import fernet_key
from tests.unit.recorder import Recorded, content, password, run_stack


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack(clientWorkspace=True)


@pytest.fixture(scope="module")
def open_stack() -> Recorded:
    return run_stack(clientWorkspace=True, auth="none")


def readers(stack: Recorded, secret: str) -> list[str]:
    """Return the objects whose pods name a Secret."""
    named = re.compile(rf'"{secret}"')
    return [name for name, pod in stack.pods().items() if named.search(json.dumps(pod))]


def test_everybodys_password_is_read_by_the_migration_alone(stack: Recorded) -> None:
    users = json.loads(content(stack, "mlflow-users")["USERS"])
    assert users == {name: password(f"mlflow-{name}-password") for name in ("admin", "workspace")}
    assert readers(stack, "mlflow-users") == ["Job mlflow-migration", "CronJob mlflow-rollback"]


def test_a_user_of_the_cluster_has_a_password_of_its_own(stack: Recorded) -> None:
    assert content(stack, "mlflow-user-workspace") == {
        "MLFLOW_TRACKING_USERNAME": "workspace",
        "MLFLOW_TRACKING_PASSWORD": password("mlflow-workspace-password"),
        "MLFLOW_EXPERIMENT_NAME": "workspace",
    }
    assert readers(stack, "mlflow-user-workspace") == ["StatefulSet workspace-server"]


@pytest.mark.parametrize("kind", ["stack", "open_stack"])
def test_servers_share_their_keys_with_or_without_a_login(
    kind: str, request: pytest.FixtureRequest
) -> None:
    found: Recorded = request.getfixturevalue(kind)
    assert content(found, "mlflow-keys") == {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": password("mlflow-page-key"),
        "MLFLOW_CRYPTO_KEK_PASSPHRASE": password("mlflow-passphrase"),
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": fernet_key(password("mlflow-webhook-key")),
    }
    assert sorted(readers(found, "mlflow-keys")) == [
        "CronJob backup",
        "CronJob mlflow-rollback",
        "Deployment mlflow-server",
        "Job mlflow-migration",
    ]


def test_the_key_of_webhooks_is_one_of_fernet_and_the_same_in_every_run() -> None:
    key = fernet_key("generated")
    assert key == fernet_key("generated") != fernet_key("generated2")
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"kept")) == b"kept"


def test_passwords_are_long_and_valid_in_a_shell_a_url_and_an_ini_file(stack: Recorded) -> None:
    generated = {
        name.split()[1]: inputs
        for name, (token, inputs) in stack.resources.items()
        if token.endswith("RandomPassword") and name.split()[1].startswith("mlflow-")
    }
    assert sorted(generated) == [
        "mlflow-admin-password",
        "mlflow-page-key",
        "mlflow-passphrase",
        "mlflow-webhook-key",
        "mlflow-workspace-password",
    ]
    for name, inputs in generated.items():
        assert inputs["special"] is False, name
        assert inputs["length"] >= 32, name


def test_a_login_is_asked_for_unless_a_setting_says_otherwise(
    stack: Recorded, open_stack: Recorded
) -> None:
    def arguments(found: Recorded) -> list[str]:
        (server,) = found.pods()["Deployment mlflow-server"]["containers"]
        given: list[str] = server["args"]
        return given

    assert [one for one in arguments(stack) if one not in arguments(open_stack)] == [
        "--app-name=basic-auth"
    ]


def test_without_a_login_there_are_no_users(open_stack: Recorded) -> None:
    assert open_stack.exports["client_env"] == {"MLFLOW_TRACKING_URI": "http://mlflow-server.local"}
    assert "add_user" not in open_stack.exports
    assert not [
        name
        for name in open_stack.resources
        if "user" in name or "password" in name
        if name.split()[1].startswith("mlflow-")
    ]
    (container,) = open_stack.pods()["StatefulSet workspace-server"]["containers"]
    assert "envFrom" not in container


def test_users_live_in_a_database_of_their_own_on_the_same_server() -> None:
    for store in ("postgres", "mysql"):
        uris = content(run_stack(backendStore=store), f"{store}-credentials")
        runs = uris["MLFLOW_BACKEND_STORE_URI"]
        assert uris["MLFLOW_AUTH_DATABASE_URI"] == runs.replace("/mlflow?", "/mlflow_auth?")
