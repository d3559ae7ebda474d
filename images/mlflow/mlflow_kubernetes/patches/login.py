"""MLflow's basic-auth behind this package's gate, and its demo left to admins."""

import importlib
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Response as PageResponse
from flask import request

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
