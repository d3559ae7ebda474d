"""The server below a path of its host name, such as `/mlflow`, which a proxy does not remove.

`mlflow server --static-prefix` would move every path below the prefix, so that pods and probes
would have to know the prefix, and artifacts would pass through /tmp. Here the server accepts every
path with the prefix and without it. MLflow's pages use relative addresses.
"""

import os

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlflow_kubernetes import contract


class Below:
    """Takes the prefix away, where there is one; a request without it passes as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._prefix = os.environ.get(contract.PUBLIC_PATH, "")

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
