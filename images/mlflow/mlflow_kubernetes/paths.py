"""The server below a path of its host name, such as `/mlflow`, which a proxy in front leaves in.

`mlflow server --static-prefix` would move everything there, and take it away from where pods and
probes ask; and artifacts would pass through /tmp. Here every path is right with the prefix and
without it. MLflow's pages ask for all they need relatively.
"""

import os
from typing import Any

import uvicorn
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_VARIABLE = "PUBLIC_PATH"

_load: Any = uvicorn.Config.load


def install() -> None:
    """Take the prefix away in applications that uvicorn loads after it, where there is one."""
    if prefix := os.environ.get(_VARIABLE):

        def load(config: uvicorn.Config) -> None:
            _load(config)
            config.loaded_app = _Below(config.loaded_app, prefix)

        uvicorn.Config.load = load  # type: ignore[method-assign]


class _Below:
    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == self._prefix:
                # Without the slash, what the page asks for relatively is beside the prefix.
                query = scope["query_string"].decode()
                app = RedirectResponse(f"{self._prefix}/{'?' if query else ''}{query}")
            elif path.startswith(f"{self._prefix}/"):
                # The prefix has no letter that is quoted.
                raw: bytes = scope["raw_path"].removeprefix(self._prefix.encode())
                scope = {**scope, "path": path.removeprefix(self._prefix), "raw_path": raw}
        await app(scope, receive, send)
