"""Every request's name and password are checked before anything else is done for the request.

MLflow checks passwords in its event loop for artifacts and native routes. For all other routes,
MLflow first reads the whole request. Here a few threads wait for the database of users and for the
hash of a password, which takes some 50 ms by design. So strangers who try passwords do not delay
users who are known, and nothing of a stranger's request is read.
"""

import asyncio
import base64
import importlib
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, NamedTuple

from cachetools import LRUCache
from mlflow.exceptions import MlflowException
from mlflow.gateway.constants import MLFLOW_GATEWAY_AUTH_HEADER
from mlflow.server.handlers import _add_static_prefix
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlflow_kubernetes.audit import layer as audit
from mlflow_kubernetes.login import failures
from mlflow_kubernetes.server import probes, refusals

USER = "mlflow_kubernetes.user"
"""Key of the request's scope with the user, as MLflow's store returns the user."""
# A hash of a password takes a whole processor. Requests of known users need the processor too.
_THREADS_OF_STRANGERS = 1
_THREADS_OF_KNOWN = 2
# Limits of waiting checks, in all and for one name: 64 hashes take the thread some three seconds.
_MOST = 64
_MOST_OF_A_NAME = 16
_KNOWN = 1000
# More seconds than a statement waits for a lock in the database (support/database_timeouts.py).
_PATIENCE_SECONDS = 30.0


class Login(NamedTuple):
    """User name and password of a request."""

    name: str
    password: str
    gateway: bool
    """Whether it goes to the AI gateway, which MLflow's own jobs ask with a key of theirs."""


class Gate:
    """Lets users of the database of users in. It answers 401 to others, and 503 if that database
    does not answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._server: Any = importlib.import_module("mlflow.server.auth")
        self._open = frozenset(probes.paths())
        self._threads = ThreadPoolExecutor(_THREADS_OF_STRANGERS, "gate")
        # A login that was accepted before is checked by other threads than a new login, also after
        # MLflow's cache has dropped it.
        self._known: LRUCache[object, None] = LRUCache(_KNOWN)
        self._threads_of_known = ThreadPoolExecutor(_THREADS_OF_KNOWN, "gate-known")
        self._checks: dict[object, asyncio.Future[Any]] = {}
        self._waiting: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        app = self._app
        if scope["type"] == "http" and scope["path"] not in self._open and not _preflight(scope):
            user = await self._who(_login(scope))
            if isinstance(user, Response):
                app = user
            else:
                scope[USER] = user
                audit.note_user(scope, user.username)
        await app(scope, receive, send)

    async def _who(self, login: Login | None) -> Any:
        """Return the user of a login, or the response to a login that is refused."""
        if login is None:
            return _refusal(HTTPStatus.UNAUTHORIZED, refusals.LOGIN)
        key = self._server._auth_cache_key(login.name, login.password)
        with self._server._USER_AUTH_CACHE_LOCK:
            user = self._server._USER_AUTH_CACHE.get(key)
        if user:
            return user
        key = (key, login.gateway)
        check = self._checks.get(key)
        if check is None:
            if key not in self._known and (
                self._waiting.total() >= _MOST or self._waiting[login.name] >= _MOST_OF_A_NAME
            ):
                message = "Too many passwords are being checked: try again"
                return _refusal(HTTPStatus.TOO_MANY_REQUESTS, message)
            check = self._begin(key, login)
        # A client that disconnects does not end the check: other requests may wait for that check.
        done, _ = await asyncio.wait([check], timeout=_PATIENCE_SECONDS)
        if not done or check.exception():
            message = "The database of users does not answer: try again"
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, message)
        return check.result() or _refusal(HTTPStatus.UNAUTHORIZED, refusals.LOGIN)

    def _begin(self, key: object, login: Login) -> asyncio.Future[Any]:
        known = key in self._known
        threads = self._threads_of_known if known else self._threads
        check = asyncio.get_running_loop().run_in_executor(threads, self._check, login)
        self._checks[key] = check
        self._waiting[login.name] += not known

        def ended(check: asyncio.Future[Any]) -> None:
            del self._checks[key]
            self._waiting[login.name] -= not known
            self._waiting += Counter()  # removes names whose count is zero
            if not check.exception():
                self._known.pop(key, None)
                if check.result():
                    self._known[key] = None

        check.add_done_callback(ended)
        return check

    @failures.raised()
    def _check(self, login: Login) -> Any:
        token = self._server._MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN.get()
        if (
            login.gateway
            and token
            and secrets.compare_digest(login.password.encode(), token.encode())
        ):
            try:
                return self._server.store.get_user(login.name)
            except MlflowException:
                return None
        return self._server._authenticate_cached(login.name, login.password)


def _preflight(scope: Scope) -> bool:
    # A browser asks without a password whether it may send one. Starlette's CORSMiddleware answers.
    asked = {"origin", "access-control-request-method"}
    return scope["method"] == "OPTIONS" and asked <= set(Headers(scope=scope))


def _login(scope: Scope) -> Login | None:
    headers = Headers(scope=scope)
    gateway = scope["path"].startswith(_add_static_prefix("/gateway/"))
    names = [MLFLOW_GATEWAY_AUTH_HEADER] if gateway else []
    given = next(filter(None, map(headers.get, [*names, "authorization"])), "")
    scheme, _, value = given.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(value.strip()).decode().partition(":")
    except ValueError:
        return None
    return Login(name, password, gateway)


def _refusal(status: HTTPStatus, message: str) -> Response:
    headers = {
        HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Basic realm="mlflow"'},
        HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": "1"},
    }
    return PlainTextResponse(message, status, headers.get(status))
