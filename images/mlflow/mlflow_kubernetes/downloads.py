"""Downloads that pass through the server in pieces: those of clients, and those of MLflow's pages.

MLflow's own handlers fetch a whole artifact into /tmp before its first byte leaves the server, and
offer repositories nothing to prevent it. These ask those that can (streams.py) for pieces, and tell
the client the size, so that a download that breaks off is never taken for a whole one.
"""

import asyncio
import json
import posixpath
from typing import Any

import anyio
from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from flask import Response as PageResponse
from mlflow.exceptions import MlflowException
from mlflow.server import artifact_router as mlflow_router
from mlflow.server import handlers
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.utils.mime_type_utils import _guess_mime_type
from mlflow.utils.uri import validate_path_is_safe
from starlette.middleware.wsgi import WSGIResponder

from mlflow_kubernetes.streams import StreamDownloadMixin

# Pieces of a page's download that wait for its reader; an answer of one piece waits for nobody.
_AHEAD = 2

_send_whole: Any = handlers._send_artifact
_prepare: Any = WSGIResponder.__init__


def install() -> None:
    """Take the place of MLflow's handlers; in effect for applications that are made after it."""
    router = mlflow_router.artifact_router
    for route in list(router.routes):
        if isinstance(route, APIRoute) and route.endpoint is mlflow_router.download_artifact:
            router.routes.remove(route)
            router.add_api_route(route.path, _download, methods=["GET"])
    handlers._send_artifact = _send
    WSGIResponder.__init__ = _prepare_to_wait  # type: ignore[method-assign]


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
    return StreamingResponse(chunks, headers=_headers(path, size))


def _send(repository: ArtifactRepository, path: str) -> Any:
    """Answer a page, once its handler has seen to it that the user may read this."""
    if not isinstance(repository, StreamDownloadMixin):
        return _send_whole(repository, path)
    size, chunks = repository.open_artifact(path)
    return PageResponse(chunks, headers=_headers(path, size))


def _prepare_to_wait(responder: WSGIResponder, *arguments: Any) -> None:
    """Let a page's download wait for its reader.

    The bridge from ASGI to Flask takes all that Flask gives, and keeps what is not sent yet: to a
    slow reader an artifact would be in memory as a whole.
    """
    _prepare(responder, *arguments)
    for unlimited in (responder.stream_send, responder.stream_receive):
        unlimited.close()
    streams = anyio.create_memory_object_stream[Any](_AHEAD)
    responder.stream_send, responder.stream_receive = streams


def _headers(path: str, size: int) -> dict[str, str]:
    return {
        "Content-Disposition": mlflow_router._content_disposition(posixpath.basename(path)),
        "Content-Length": str(size),
        "Content-Type": _guess_mime_type(path),
        "X-Content-Type-Options": "nosniff",
    }
