"""The server below a path of its host name, such as `/mlflow`, which a proxy in front leaves in.

`mlflow server --static-prefix` would move everything there, and take it away from where pods and
probes ask; and artifacts would pass through /tmp. Here every path is right with the prefix and
without it. MLflow's pages ask for all they need relatively.
"""

import os

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_VARIABLE = "PUBLIC_PATH"


class Below:
    """Takes the prefix away, where there is one; a request without it passes as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._prefix = os.environ.get(_VARIABLE, "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        app = self._app
        if self._prefix and scope["type"] == "http":
            path: str = scope["path"]
            if path == self._prefix:
                # Without the slash, the page's relative addresses would lie beside the prefix.
                query = scope["query_string"].decode()
                app = RedirectResponse(f"{self._prefix}/{'?' if query else ''}{query}")
            elif path.startswith(f"{self._prefix}/"):
                # The prefix has no letter that is quoted.
                raw: bytes = scope["raw_path"].removeprefix(self._prefix.encode())
                scope = {**scope, "path": path.removeprefix(self._prefix), "raw_path": raw}
        await app(scope, receive, send)
