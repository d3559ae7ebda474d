"""The server calls only what a setting names, and refuses other calls; webhooks keep secrets."""

import json
from typing import Any

import pytest

from harness.stack import Stack
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER

pytestmark = pytest.mark.network

# Of the public internet, which answers no packet of the stack's.
PUBLIC = "https://1.1.1.1"
TOLD = "no setting of mlflow:egress opens a way to it"


@pytest.fixture(scope="module")
def found(stack: Stack) -> dict[str, Any]:
    login = {
        key: value for key, value in stack.client_env().items() if key.startswith("MLFLOW_TRACKING")
    }
    said = stack.kubectl.python(
        SERVER,
        POD_SCRIPTS / "call_out.py",
        **login,
        WEBHOOKS=json.dumps({"webhook": f"{PUBLIC}/hook"}),
        MODELS=json.dumps({"model": f"{PUBLIC}/v1"}),
        LOST="true",
        seconds=120,
    )
    report: dict[str, Any] = json.loads(said.splitlines()[-1])
    print(json.dumps(report, indent=1))
    return report


def test_a_closed_receiver_is_told_within_seconds(found: dict[str, Any]) -> None:
    assert TOLD in found["webhook"]["said"]
    assert found["webhook"]["seconds"] < 5


def test_a_closed_model_provider_is_told_within_seconds(found: dict[str, Any]) -> None:
    assert found["model"]["status"] == 502
    assert TOLD in found["model"]["said"]
    assert found["model"]["seconds"] < 5


def test_a_webhook_whose_secret_nobody_can_read_spoils_no_list(found: dict[str, Any]) -> None:
    assert found["lost"]["listed"]
    assert "set the secret again" in found["lost"]["said"]
    assert TOLD in found["lost"]["again"], "its secret can be read again"


def test_a_webhooks_secret_is_read_by_another_process(stack: Stack) -> None:
    said = stack.kubectl.python(SERVER, POD_SCRIPTS / "keep_webhook.py")
    assert json.loads(said.splitlines()[-1]) == {"kept": "kept"}
