"""The way from ASGI to Flask, which serves most of MLflow's API and its pages.

MLflow's own bridge

- keeps several copies of each request's body in memory before it asks who sent the request;
- reads nothing of a body without a length;
- takes a body that broke off for a whole one;
- keeps in memory what a slow reader has not yet taken of an answer.
"""

import asyncio
from contextlib import closing, nullcontext
from typing import Any

import anyio
from fastapi import Request, Response
from flask import request
from mlflow import server
from mlflow.server import handlers
from starlette.middleware.wsgi import WSGIResponder, build_environ
from starlette.types import Receive, Scope, Send

from mlflow_kubernetes.artifacts.paths import storable
from mlflow_kubernetes.artifacts.spool import Spool
from mlflow_kubernetes.patches import downloads
from mlflow_kubernetes.server import methods

# Pieces of an answer that wait for its reader; an answer of one piece waits for nobody.
_AHEAD = 2
# Bytes of a request's body that stay in memory. Requests are not counted as transfers.
_IN_MEMORY = 1024 * 1024
# MLflow's handler keeps 10 MB of a page's upload several times. Those that wait hold no thread.
_PAGE_UPLOADS = asyncio.Semaphore(4)

_prepare: Any = WSGIResponder.__init__
_upload: Any = server.upload_artifact_handler


def install() -> None:
    """Take the place of MLflow's bridge."""
    from mlflow.server import fastapi_app  # noqa: PLC0415 (it makes an application of what is there)

    WSGIResponder.__init__ = _prepare_to_wait  # type: ignore[method-assign]
    fastapi_app._EfficientWSGIResponder.__call__ = _respond  # type: ignore[method-assign]
    fastapi_app._EfficientWSGIMiddleware.__call__ = _serve  # type: ignore[method-assign]
    server.upload_artifact_handler = _upload_checked


async def _serve(bridge: Any, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
    if scope["type"] != "http":
        return
    if methods.is_options(scope) and (known := _allowed(scope["path"])):
        await Response(status_code=204, headers={"Allow": known})(scope, receive, send)
        return

    async def call(send: Send) -> None:
        from mlflow.server import fastapi_app  # noqa: PLC0415 (as above)

        await fastapi_app._EfficientWSGIResponder(bridge.app, scope)(receive, send)

    await downloads.serve_page(call, Request(scope, receive), send)


def _allowed(path: str) -> str:
    return ", ".join(sorted(server.app.url_map.bind("").allowed_methods(path)))


async def _respond(responder: Any, receive: Receive, send: Send) -> None:
    with closing(Spool(_IN_MEMORY)) as body:
        if not await _read(receive, body):
            return
        environ = build_environ(responder.scope, b"")
        environ |= {"wsgi.input": body.rewound(), "CONTENT_LENGTH": str(body.size)}
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # Flask would read nothing
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(responder.sender, send)
            async with responder.stream_send:
                is_upload = responder.scope["path"].endswith("/upload-artifact")
                async with _PAGE_UPLOADS if is_upload else nullcontext():
                    await anyio.to_thread.run_sync(
                        responder.wsgi, environ, responder.start_response
                    )
    if responder.exc_info is not None:
        raise responder.exc_info[1]


async def _read(receive: Receive, body: Spool) -> bool:
    """Keep a request's body, and say whether it came whole."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        await body.add(message.get("body", b""))
        if not message.get("more_body", False):
            return True


@handlers.catch_mlflow_exception
def _upload_checked() -> Any:
    if path := request.args.get("path"):
        storable(path)
    return _upload()


def _prepare_to_wait(responder: WSGIResponder, *arguments: Any) -> None:
    """Let an answer wait for its reader, who may be slow; it would be in memory as a whole."""
    _prepare(responder, *arguments)
    for unlimited in (responder.stream_send, responder.stream_receive):
        unlimited.close()
    streams = anyio.create_memory_object_stream[Any](_AHEAD)
    responder.stream_send, responder.stream_receive = streams
