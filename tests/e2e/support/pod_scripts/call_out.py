"""Have the server call others, by webhooks and its AI gateway; print what it says, and how fast.

Runs in the server's pod, as the user of the environment. WEBHOOKS and MODELS are URLs by name, as
JSON.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import requests
import sqlalchemy
from cryptography.fernet import Fernet
from mlflow import MlflowClient
from mlflow.entities import GatewayEndpointModelConfig, GatewayModelLinkageType
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store

URI = "http://localhost:5000"
LOGIN = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
EVENTS = ["registered_model.created"]
MARK = os.urandom(4).hex()
MESSAGE = {"messages": [{"role": "user", "content": "hello"}]}


def timed(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    started = time.monotonic()
    found = call()
    return {**found, "seconds": time.monotonic() - started}


def called_for(name: str) -> str:
    return f"{name.replace(' ', '-')}-{MARK}"


def webhook(client: MlflowClient, name: str, url: str) -> dict[str, Any]:
    called = called_for(name)
    try:
        made = client.create_webhook(called, url, EVENTS, secret=f"secret of {name}")
    except MlflowException as error:
        return {"status": error.get_http_status_code(), "said": str(error)}
    result = client.test_webhook(made.webhook_id)
    client.delete_webhook(made.webhook_id)
    return {"status": result.response_status, "said": result.error_message or result.response_body}


def model(name: str, base: str) -> dict[str, Any]:
    store, called = _get_store(URI), called_for(name)
    key = {"api_key": "sk-nobodys"}
    secret = store.create_gateway_secret(called, key, "openai", {"api_base": base})
    kind = store.create_gateway_model_definition(called, secret.secret_id, "openai", "a-model")
    config = GatewayEndpointModelConfig(
        model_definition_id=kind.model_definition_id, linkage_type=GatewayModelLinkageType.PRIMARY
    )
    endpoint = store.create_gateway_endpoint(called, [config], usage_tracking=False)
    answer = timed(lambda: invoke(called))
    store.delete_gateway_endpoint(endpoint.endpoint_id)
    store.delete_gateway_model_definition(kind.model_definition_id)
    store.delete_gateway_secret(secret.secret_id)
    return answer


def invoke(endpoint: str) -> dict[str, Any]:
    url = f"{URI}/gateway/{endpoint}/mlflow/invocations"
    answer = requests.post(url, json=MESSAGE, auth=LOGIN, timeout=60)
    return {"status": answer.status_code, "said": answer.text}


def lost(client: MlflowClient) -> dict[str, Any]:
    """Look at a webhook whose secret was encrypted with a key that is gone."""
    made = client.create_webhook(f"lost-{MARK}", "https://1.1.1.1", EVENTS, secret="a")  # noqa: S106
    engine = sqlalchemy.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
    unreadable = Fernet(Fernet.generate_key()).encrypt(b"a").decode()
    with engine.begin() as connection:
        statement = sqlalchemy.text("UPDATE webhooks SET secret = :secret WHERE webhook_id = :id")
        connection.execute(statement, {"secret": unreadable, "id": made.webhook_id})
    listed = made.webhook_id in [one.webhook_id for one in client.list_webhooks()]
    said = client.test_webhook(made.webhook_id).error_message
    client.update_webhook(made.webhook_id, secret="b")  # noqa: S106
    again = client.test_webhook(made.webhook_id).error_message
    client.delete_webhook(made.webhook_id)
    return {"listed": listed, "said": said, "again": again}


def main() -> None:
    client = MlflowClient(URI, URI)
    urls = {what: json.loads(os.environ.get(what, "{}")) for what in ("WEBHOOKS", "MODELS")}
    found: dict[str, Any] = {
        name: timed(lambda name=name, url=url: webhook(client, name, url))
        for name, url in urls["WEBHOOKS"].items()
    }
    found |= {name: model(name, base) for name, base in urls["MODELS"].items()}
    if "LOST" in os.environ:
        found["lost"] = lost(client)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
