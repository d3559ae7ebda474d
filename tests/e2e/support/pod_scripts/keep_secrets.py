"""Store a model provider's key and a webhook's secret, or print what both are: `keep` or `read`.

Runs in the server's pod, whose keys encrypt both in the database.
"""

import json
import os
import sys

from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
tracking, registry = Tracking(uri, "mlflow-artifacts:/"), Registry(uri)
if sys.argv[1] == "keep":
    event = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
    registry.create_webhook("kept", "https://1.1.1.1", [event], secret="of the webhook")  # noqa: S106
    tracking.create_gateway_secret("provider", {"api_key": "of the provider"})
provider = tracking.get_secret_info(secret_name="provider")  # noqa: S106 (a name)
key = tracking._get_decrypted_secret(provider.secret_id)
kept = [webhook.secret for webhook in registry.list_webhooks() if webhook.name == "kept"]
print(json.dumps([key, kept]))
