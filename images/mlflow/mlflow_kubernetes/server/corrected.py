"""Requests are corrected before MLflow sees them: HEAD, and the names of artifacts."""

from mlflow.exceptions import MlflowException
from starlette.types import ASGIApp, Receive, Scope, Send

from mlflow_kubernetes.patches import artifact_names, downloads
from mlflow_kubernetes.server import methods


class Corrected:
    """Hands on a request with the path and the method that its sender meant, or refuses it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        app = self._app
        if scope["type"] == "http":
            try:
                scope = methods.as_get(artifact_names.whole(scope))
            except MlflowException as error:
                app = downloads.refusal(error)
        await app(scope, receive, send)
