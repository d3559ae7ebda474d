"""Requests that may wait for a database run in threads, never in the worker's event loop.

MLflow's native routes (OpenTelemetry, the AI gateway, jobs, MCP servers) are coroutines that call
the database directly. While the database does not answer, the worker would answer no request, the
probes included.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cachetools import LRUCache
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

# A streamed answer of a language model holds one as long as it lasts.
_THREADS = 64
# Artifacts stay: what they wait for is in threads already, and their bytes would have to change
# threads.
_STAYS = "/mlflow-artifacts/artifacts/"
# Routes are many, and most requests are for few paths. A client can send many paths, and long ones.
_MOST_PATHS = 1000
_MOST_LETTERS = 200


class Aside:
    """Runs each request to a native route in a thread of its own, with an event loop of its own."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        # Flask, which is mounted, has threads.
        self._native = [route for route in routes if not isinstance(route, Mount)]
        self._threads = ThreadPoolExecutor(_THREADS, "aside")
        self._known: LRUCache[str, bool] = LRUCache(_MOST_PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and return when it is answered."""
        if not self._belongs_aside(scope):
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        answer: Any = self._app(scope, _called_in(loop, receive), _called_in(loop, send))
        await loop.run_in_executor(self._threads, asyncio.run, answer)

    def _belongs_aside(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        path = scope["path"]
        found = self._known.get(path)
        if found is None:
            found = _STAYS not in path and any(
                route.matches(scope)[0] is not Match.NONE for route in self._native
            )
            if len(path) <= _MOST_LETTERS:
                self._known[path] = found
        return found


def _called_in(
    loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    async def call(*arguments: Any) -> Any:
        called: Any = function(*arguments)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called, loop))

    return call
