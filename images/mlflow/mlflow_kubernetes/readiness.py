"""`/health/ready`: whether the databases answer, told to anybody who asks.

MLflow's own `/health` never looks at them, and what does asks for a password, which a probe would
carry in the pod's description, for all to read who may list pods.
"""

import logging
from http import HTTPStatus

from mlflow import server
from mlflow.server import handlers

from mlflow_kubernetes import auth

_logger = logging.getLogger(__name__)


def install() -> None:
    """Add the page to MLflow's application; basic-auth lets everything below `/health` pass."""
    server.app.add_url_rule("/health/ready", view_func=_ready)


def _ready() -> tuple[str, HTTPStatus]:
    try:
        handlers._get_tracking_store().search_experiments(max_results=1)
        if auth.configured():
            from mlflow.server.auth import store  # noqa: PLC0415 (a server without a login has none)

            store.has_user(auth.ADMIN)
    except Exception:
        # Whoever asks may be anybody, so the reason goes into the log.
        _logger.exception("not ready")
        return "a database does not answer", HTTPStatus.SERVICE_UNAVAILABLE
    return "OK", HTTPStatus.OK
