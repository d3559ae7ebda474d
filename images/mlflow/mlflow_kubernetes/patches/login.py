"""MLflow's basic-auth behind this package's gate.

The demo is left to admins. The body of a DELETE or PATCH has to be declared as JSON. Otherwise
MLflow checks the rights for what the query names, and deletes what the body names.
"""

import importlib
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Response as PageResponse
from flask import request
from mlflow.exceptions import MlflowException

from mlflow_kubernetes.login import gate

# The name of the view that serves the page, and the mark of the page's button "Start Demo".
_PAGE = "serve"
_WITHOUT_DEMO = (
    b'<style>div:has(> [data-component-id="mlflow.home.demo-banner.launch"])'
    b"{display: none !important}</style>"
)


def install_with_login() -> None:
    """Have MLflow take over the user whom the gate let in, and leave the demo to admins.

    MLflow lets every user make the demo, which writes to the experiment of a fixed name, whoever
    owns that experiment. In effect for applications that are made later.
    """
    server: Any = importlib.import_module("mlflow.server.auth")
    server._authenticate_fastapi_request = lambda request: request.scope.get(gate.USER)
    server.BEFORE_REQUEST_VALIDATORS[server.DEMO_GENERATE, "POST"] = server.sender_is_admin
    server.app.after_request(partial(_hide_demo, server))
    # MLflow adds its own check later, so that Flask calls this one first.
    server.app.before_request(_refuse_two_readings)


def _refuse_two_readings() -> PageResponse | None:
    """Refuse a body that MLflow's handlers read, and MLflow's checks of rights do not."""
    if request.method not in ("DELETE", "PATCH") or request.is_json or not request.get_data():
        return None
    kind = request.content_type
    error = MlflowException.invalid_parameter_value(
        f"Content-Type: {kind!a}; expected application/json for a body of {request.method}"
    )
    return PageResponse(
        error.serialize_as_json(), error.get_http_status_code(), mimetype="application/json"
    )


def _hide_demo(server: Any, answer: PageResponse) -> PageResponse:
    """Take the offer of a demo off the page for users who may not make the demo."""
    if (
        request.endpoint == _PAGE
        and answer.status_code == HTTPStatus.OK
        and not server.sender_is_admin()
    ):
        answer.direct_passthrough = False
        answer.set_data(answer.get_data().replace(b"</head>", _WITHOUT_DEMO + b"</head>"))
        # The next user of this browser may be an admin.
        answer.headers["Cache-Control"] = "no-store"
        for header in ("ETag", "Last-Modified"):
            answer.headers.pop(header, None)
    return answer
