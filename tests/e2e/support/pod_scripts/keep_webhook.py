"""Store a webhook's secret in one process, and read it in another: print what came back.

Runs in the server's pod. A process that has no key of the stack's makes up one of its own.
"""

import json
import os
import subprocess
import sys

WRITE = """
import os
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

event = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"])
print(store.create_webhook("kept", "https://1.1.1.1", [event], secret="kept").webhook_id)
"""
READ = """
import os, sys
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"])
print(store.get_webhook(sys.argv[1]).secret)
store.delete_webhook(sys.argv[1])
"""


def run(*arguments: str) -> str:
    command = [sys.executable, "-c", *arguments]
    ended = subprocess.run(
        command, env={**os.environ}, check=True, capture_output=True, text=True, timeout=60
    )
    return ended.stdout.splitlines()[-1]


made = run(WRITE)
print(json.dumps({"kept": run(READ, made)}))
