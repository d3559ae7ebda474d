"""Downloads by clients and by MLflow's pages pass through the server in pieces.

MLflow's own handlers fetch a whole artifact into /tmp before they send its first byte, and give
repositories no way to prevent that. The handlers here ask a repository for pieces, if it can give
them (artifacts/streams.py). They send the size first, so that no client takes a download that broke
off for a whole one. MLflow's handler in Flask finds the artifact that a page asks for. The answer
is sent outside of Flask, because a slow reader would hold one of Flask's threads.
"""

import asyncio
import json
import posixpath
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from flask import Response as PageResponse
from flask import request as page_request
from mlflow import server
from mlflow.exceptions import MlflowException
from mlflow.server import artifact_router as mlflow_router
from mlflow.server import handlers
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.tracing.constant import SpansLocation, TraceTagKey
from mlflow.tracing.utils.artifact_utils import TRACE_DATA_FILE_NAME
from mlflow.utils.mime_type_utils import _guess_mime_type
from starlette.types import Message, Send
from werkzeug.http import http_date

from mlflow_kubernetes.artifacts import conditions
from mlflow_kubernetes.artifacts.streams import Artifact, StreamDownloadMixin, transfer
from mlflow_kubernetes.server import methods

T = TypeVar("T")

# Threads of one worker that read from the store. A download holds a thread only while the store
# sends a piece, so a slow client holds none. A store that hangs blocks these threads alone.
_READERS = ThreadPoolExecutor(16, "download")

# Spans in the database and archived spans. MLflow's handler sends them from memory.
_NOT_FILES = (SpansLocation.TRACKING_STORE, SpansLocation.ARCHIVE_REPO)

_send_whole: Any = handlers._send_artifact
_trace_artifact: Any = server.get_trace_artifact_handler
# The artifact that a page asked for: `_note` appends it, and `serve_page` sends it.
_noted: ContextVar[list[tuple[StreamDownloadMixin, str]]] = ContextVar("noted")


def install() -> None:
    """Replace MLflow's handlers in applications that are made after this call."""
    replace_endpoint(mlflow_router.download_artifact, _download, "GET")
    handlers._send_artifact = _note
    server.get_trace_artifact_handler = _note_trace_artifact


def replace_endpoint(theirs: Callable[..., Any], ours: Callable[..., Any], method: str) -> None:
    """Serve the routes of one endpoint of MLflow's artifact router by another endpoint.

    Args:
        theirs: The endpoint that is replaced, on each of its paths.
        ours: The endpoint that takes its place.
        method: The HTTP method of these routes.
    """
    router = mlflow_router.artifact_router
    for route in list(router.routes):
        if isinstance(route, APIRoute) and route.endpoint is theirs:
            router.routes.remove(route)
            router.add_api_route(route.path, ours, methods=[method])


async def serve_page(call_flask: Callable[[Send], Any], request: Request, send: Send) -> None:
    """Call Flask, and send its answer, or the artifact that a handler noted."""
    noted: list[tuple[StreamDownloadMixin, str]] = []
    _noted.set(noted)

    async def send_own(message: Message) -> None:
        if not noted:
            await send(message)

    await call_flask(send_own)
    if noted:
        await (await _answer(request, *noted[0]))(request.scope, request.receive, send)


async def _download(artifact_path: str, request: Request) -> Response:
    try:
        if not mlflow_router._is_serving_proxied_artifacts() or not isinstance(
            repository := mlflow_router._get_artifact_repo(), StreamDownloadMixin
        ):
            return await mlflow_router.download_artifact(artifact_path)
        path = mlflow_router._get_workspace_scoped_path(
            mlflow_router.validate_path_is_safe(artifact_path)
        )
    except MlflowException as error:
        return refusal(error)
    return await _answer(request, repository, path)


def _note(repository: ArtifactRepository, path: str) -> Any:
    """Note the artifact that a page asks for. The handler has checked that the user may read it."""
    if not isinstance(repository, StreamDownloadMixin):
        return _send_whole(repository, path)
    _noted.get().append((repository, path))
    return PageResponse()


@handlers.catch_mlflow_exception
def _note_trace_artifact() -> Any:
    """Note a file of a trace that is in a store: an attachment, or the spans of an old client."""
    trace, path = page_request.args.get("request_id"), page_request.args.get("path")
    if not trace:
        return _trace_artifact()
    info = handlers._get_tracking_store().get_trace_info(trace)
    if not path and info.tags.get(TraceTagKey.SPANS_LOCATION) in _NOT_FILES:
        return _trace_artifact()
    repository = handlers._get_trace_artifact_repo(info)
    if not isinstance(repository, StreamDownloadMixin):
        return _trace_artifact()
    if not path:
        return _note(repository, TRACE_DATA_FILE_NAME)
    path = handlers.validate_path_is_safe(path)
    handlers._validate_attachment_path(path)
    return _note(repository, posixpath.join("attachments", path))


async def _answer(request: Request, repository: StreamDownloadMixin, path: str) -> Response:
    """Answer a request for an artifact that the user may read."""
    headers = request.headers
    try:
        if methods.is_head(request.scope) or any(
            name in headers for name in (*conditions.PRECONDITIONS, "range")
        ):
            artifact = await read(repository.find_artifact, path)
            if status := conditions.failed(headers, artifact, reads=True):
                return Response(status_code=status, headers=_version(artifact))
            if methods.is_head(request.scope):
                return Response(headers=_headers(path, artifact))
            if span := conditions.part(headers, artifact):
                chunks = await read(repository.open_part, path, artifact, *span)
                return _stream(chunks, _headers(path, artifact, span))
        artifact, chunks = await read(repository.open_artifact, path)
    except conditions.UnsatisfiableError:
        # Raised by conditions.part(), which is asked once the artifact is known.
        size = artifact.size  # pyright: ignore[reportPossiblyUnboundVariable]
        told = {"Content-Range": f"bytes */{size}"}
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=told)
    except MlflowException as error:
        return refusal(error)
    return _stream(chunks, _headers(path, artifact))


def _stream(chunks: Iterator[bytes], headers: dict[str, str]) -> Response:
    status = HTTPStatus.PARTIAL_CONTENT if "Content-Range" in headers else HTTPStatus.OK
    return StreamingResponse(_pieces(chunks), status_code=status, headers=headers)


async def _pieces(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    with transfer():
        while chunk := await read(partial(next, chunks, b"")):
            yield chunk


async def read(call: Callable[..., T], *arguments: Any) -> T:
    """Run a call to a store in one of the threads for stores."""
    return await asyncio.get_running_loop().run_in_executor(_READERS, call, *arguments)


def refusal(error: MlflowException) -> Response:
    """Return the response that MLflow makes of an exception."""
    told = json.loads(error.serialize_as_json())
    return JSONResponse(status_code=error.get_http_status_code(), content=told)


def _version(artifact: Artifact) -> dict[str, str]:
    return {
        # A browser asks the server whether its cached copy is the newest one.
        "Cache-Control": "private, no-cache",
        "ETag": f'"{artifact.tag}"',
        "Last-Modified": http_date(artifact.modified),
    }


def _headers(path: str, artifact: Artifact, span: tuple[int, int] | None = None) -> dict[str, str]:
    start, stop = span or (0, artifact.size)
    return {
        **_version(artifact),
        **({"Content-Range": f"bytes {start}-{stop - 1}/{artifact.size}"} if span else {}),
        "Accept-Ranges": "bytes",
        "Content-Disposition": mlflow_router._content_disposition(posixpath.basename(path)),
        "Content-Length": str(stop - start),
        "Content-Type": _guess_mime_type(path),
        "X-Content-Type-Options": "nosniff",
    }
