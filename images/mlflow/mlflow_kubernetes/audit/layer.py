"""The layer around the server that writes the audit log."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlflow_kubernetes.audit import lines, objects, reading
from mlflow_kubernetes.audit.routes import Routes

T = TypeVar("T")
_ENTRY = "mlflow_kubernetes.audit"
_logger = logging.getLogger(__name__)


class Entry:
    """What is known of a request until its line is written."""

    def __init__(self, scope: Scope, method: str, routes: Routes) -> None:
        self._began = time.monotonic()
        self._method = method
        self.route, self._parameters = routes.find(method, scope["path"])
        self._query = scope["query_string"]
        self._headers = scope["headers"]
        client = scope.get("client")
        self._source = client[0] if client else None
        self._body = bytearray()
        self._cut = False
        self.user: str | None = None
        self.written = False

    def hear(self, message: Message) -> None:
        """Keep the begin of a body."""
        part = message.get("body", b"")
        if not part or not self.route.keys:
            return
        room = objects.BOUND - len(self._body)
        self._body += part[:room]
        self._cut = self._cut or len(part) > room

    def line(self, status: int | None) -> bytes:
        """Return the line, once the status is known."""
        return lines.line(
            event=self.route.event,
            user=self.user,
            source=self._source,
            method=self._method,
            route=self.route.template,
            named=self._named(),
            status=status,
            milliseconds=(time.monotonic() - self._began) * 1000,
        )

    def _named(self) -> dict[str, Any]:
        if self.route.template == objects.SPANS:
            return objects.in_headers(self._headers)
        kind = next((value for name, value in self._headers if name == b"content-type"), b"")
        found = objects.in_body(bytes(self._body), kind, self.route.keys, cut=self._cut)
        if not self._body:
            found = objects.in_query(self._query)
        found |= objects.in_path(self._parameters)
        return {**found, objects.CUT: True} if self._cut else found


class Audit:
    """Writes a line for each request that changes anything, whatever the answer is.

    The line is written before the answer begins, so that no client knows of a change that has no
    line. A failure in here is logged, and changes no answer.
    """

    def __init__(self, app: ASGIApp, routes: Routes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        entry = self._entry(scope)
        if entry is None:
            await self._app(scope, receive, send)
            return
        scope[_ENTRY] = entry

        async def hear() -> Message:
            message = await receive()
            _tried(lambda: entry.hear(message))
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                _end(entry, message["status"])
            await send(message)

        try:
            await self._app(scope, hear, tell)
        except Exception:
            # uvicorn answers with this status, if no answer has begun.
            _end(entry, 500)
            raise
        finally:
            _end(entry, None)

    def _entry(self, scope: Scope) -> Entry | None:
        if scope["type"] != "http":
            return None
        # Flask reads a method in any case.
        method = scope["method"].upper()
        if reading.surely_reads(method, scope["path"]):
            return None
        entry = _tried(lambda: Entry(scope, method, self._routes))
        return None if entry is None or entry.route.reads else entry


def note_user(scope: Scope, name: str) -> None:
    """Note who sent a request, once that is known."""
    entry = scope.get(_ENTRY)
    if entry is not None:
        entry.user = name


def _end(entry: Entry, status: int | None) -> None:
    if not entry.written:
        entry.written = True
        _tried(lambda: lines.write(entry.line(status)))


def _tried(step: Callable[[], T]) -> T | None:
    try:
        return step()
    except Exception:
        _logger.exception("The audit log lacks a request, or a part of one")
        return None
