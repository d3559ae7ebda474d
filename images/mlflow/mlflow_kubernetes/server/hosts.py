"""The names and addresses under which the server answers, against DNS rebinding.

MLflow compares a Host header with patterns of letters. The pattern `10.*` matches the name
`10.evil.example` as well, and the owner of that name can point it at this server. Here an address
is compared with networks, and a name with names.
"""

import os
from http import HTTPStatus

from mlflow.environment_variables import MLFLOW_SERVER_ALLOWED_HOSTS
from mlflow.server.security_utils import INVALID_HOST_MSG
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlflow_kubernetes.server.allowed_hosts import Allowed


class Hosts:
    """Refuses requests under a name that is not the server's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._allowed = Allowed(os.environ.get(MLFLOW_SERVER_ALLOWED_HOSTS.name, "*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        app = self._app
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"").decode("latin-1")
            if host not in self._allowed:
                told = f"{INVALID_HOST_MSG}: {host!a} is no name of this server"
                app = PlainTextResponse(told, HTTPStatus.FORBIDDEN)
            # MLflow fails on it.
            elif not headers.get(b"origin", b"").isascii():
                app = PlainTextResponse("Invalid Origin header: no ASCII", HTTPStatus.BAD_REQUEST)
        await app(scope, receive, send)
