"""How MLflow's own login (basic-auth) is set up: from the environment alone, in a file of its own.

MLflow reads the address of its users' database from a file, and nothing else. The one that is
written here lies in memory, for the address has a password in it.
"""

import configparser
import importlib
import os
import tempfile
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Response as PageResponse
from flask import request

from mlflow_kubernetes._environment import required

URI = "MLFLOW_AUTH_DATABASE_URI"
"""Names the address of the users' database; not a variable of MLflow's."""
ADMIN = "admin"
_FILE = "MLFLOW_AUTH_CONFIG_PATH"
_MEMORY = "/dev/shm"  # noqa: S108 (the pod's own)
# A password is checked once in this time, not in each request, which costs some 50 ms by design
# (mlflow/mlflow#9684, #22817). So a password that was changed is good for as long on workers other
# than the one that changed it.
_CACHE_SECONDS = 30
# The name of the view that serves the page, and the mark of the page's button "Start Demo".
_PAGE = "serve"
_WITHOUT_DEMO = (
    b'<style>div:has(> [data-component-id="mlflow.home.demo-banner.launch"])'
    b"{display: none !important}</style>"
)


def configure() -> None:
    """Write MLflow's file, and name it to this process and those that it becomes."""
    config = configparser.ConfigParser()
    config["mlflow"] = {
        # MLflow reads % as the begin of a reference.
        "database_uri": required(URI).replace("%", "%%"),
        "admin_username": ADMIN,
        # What somebody made is theirs, until they or an admin let others in.
        "default_permission": "NO_PERMISSIONS",
        "auth_cache_ttl_seconds": str(_CACHE_SECONDS),
    }
    descriptor, path = tempfile.mkstemp(prefix="mlflow-", suffix=".ini", dir=_MEMORY)
    with os.fdopen(descriptor, "w") as file:
        config.write(file)
    os.environ[_FILE] = path


def configured() -> bool:
    """Say whether this server asks for a name and a password."""
    return _FILE in os.environ


def close() -> None:
    """Leave MLflow's examples to admins, in applications made after it.

    MLflow has everybody who logs in make them, in an experiment of a certain name, whose owner it
    does not ask.
    """
    if not configured():
        return
    server: Any = importlib.import_module("mlflow.server.auth")
    # It writes to an experiment of a certain name, whoever's that is.
    server.BEFORE_REQUEST_VALIDATORS[server.DEMO_GENERATE, "POST"] = server.sender_is_admin
    server.app.after_request(partial(_hide_demo, server))


def _hide_demo(server: Any, answer: PageResponse) -> PageResponse:
    """Take the offer of a demo off the page for those who are refused the demo."""
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
