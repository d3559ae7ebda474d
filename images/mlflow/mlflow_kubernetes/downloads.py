"""Proxied downloads that pass through the server in pieces.

MLflow's own handler fetches the whole artifact into /tmp before its first byte leaves the server,
and offers repositories nothing to prevent it. This one asks those that can (streams.py) for pieces,
and tells the client the size, so that a download that breaks off is never taken for a whole one.
"""

import asyncio
import json
import posixpath

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from mlflow.exceptions import MlflowException
from mlflow.server import artifact_router as mlflow_router
from mlflow.utils.mime_type_utils import _guess_mime_type
from mlflow.utils.uri import validate_path_is_safe

from mlflow_kubernetes.streams import StreamDownloadMixin


def install() -> None:
    """Take the place of MLflow's handler; in effect for applications that are made after it."""
    router = mlflow_router.artifact_router
    for route in list(router.routes):
        if isinstance(route, APIRoute) and route.endpoint is mlflow_router.download_artifact:
            router.routes.remove(route)
            router.add_api_route(route.path, _download, methods=["GET"])


async def _download(artifact_path: str) -> Response:
    try:
        if not mlflow_router._is_serving_proxied_artifacts() or not isinstance(
            repository := mlflow_router._get_artifact_repo(), StreamDownloadMixin
        ):
            return await mlflow_router.download_artifact(artifact_path)
        path = mlflow_router._get_workspace_scoped_path(validate_path_is_safe(artifact_path))
        size, chunks = await asyncio.to_thread(repository.open_artifact, path)
    except MlflowException as error:
        told = json.loads(error.serialize_as_json())
        return JSONResponse(status_code=error.get_http_status_code(), content=told)
    return StreamingResponse(
        chunks,
        headers={
            "Content-Disposition": mlflow_router._content_disposition(posixpath.basename(path)),
            "Content-Length": str(size),
            "Content-Type": _guess_mime_type(path),
            "X-Content-Type-Options": "nosniff",
        },
    )
