"""`/health` and `/health/ready`, which the kubelet asks, in code that cannot hang.

MLflow's own `/health` never asks the databases. Every other path that asks them needs a password,
and a password in a probe could be read by everybody who may list pods.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import sqlalchemy
from mlflow.server.handlers import _add_static_prefix
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlflow_kubernetes import contract
from mlflow_kubernetes.login import basic_auth
from mlflow_kubernetes.support import database, database_timeouts
from mlflow_kubernetes.support.environment import required

# The kubelet waits 5 s.
_PATIENCE_SECONDS = 3.0
# How long an answer is good for, by whether it was good. The kubelet asks every 5 s.
_FRESH_SECONDS = {True: 4.0, False: 1.0}
_logger = logging.getLogger(__name__)


def paths() -> tuple[str, str]:
    """Return the paths of liveness and of readiness."""
    return _add_static_prefix("/health"), _add_static_prefix("/health/ready")


class Probes:
    """Answers the probes, outside of everything else that a request passes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._alive, self._ready = paths()
        self._databases = Databases()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on what is no probe's."""
        app = self._app
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            if scope["path"] == self._alive:
                app = PlainTextResponse("OK")
            elif scope["path"] == self._ready:
                app = await self._readiness()
        await app(scope, receive, send)

    async def _readiness(self) -> PlainTextResponse:
        if await self._databases.answer():
            return PlainTextResponse("OK")
        # Whoever asks may be anybody, so the reason is in the log.
        return PlainTextResponse("a database does not answer", HTTPStatus.SERVICE_UNAVAILABLE)


class Databases:
    """The databases of this server, which are asked once for all requests at a time.

    The questions use connections of their own. In the servers' pools, a server that has a lot to do
    would look like a database that does not answer.
    """

    def __init__(self) -> None:
        tables = {contract.BACKEND_STORE_URI: "experiments"}
        if basic_auth.configured():
            tables[contract.AUTH_DATABASE_URI] = "users"
        self._tables: Mapping[Engine, str] = {
            sqlalchemy.create_engine(required(variable), poolclass=NullPool): table
            for variable, table in tables.items()
        }
        self._threads = ThreadPoolExecutor(len(tables), "probes")
        self._asking: asyncio.Future[bool] | None = None
        self._answered = False
        self._fresh_until = 0.0

    async def answer(self) -> bool:
        """Say whether all answer, within some seconds whatever they do."""
        if time.monotonic() < self._fresh_until:
            return self._answered
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        # A thread cannot be ended, so a check that hangs ends by its own time limit.
        done, _ = await asyncio.wait([self._asking], timeout=_PATIENCE_SECONDS + 0.5)
        if not done:
            _logger.error("not ready: a database did not answer in time")
        self._answered = bool(done) and self._asking.result()
        self._fresh_until = time.monotonic() + _FRESH_SECONDS[self._answered]
        return self._answered

    async def _ask(self) -> bool:
        ask = asyncio.get_running_loop().run_in_executor
        asked = [ask(self._threads, _use, engine, of) for engine, of in self._tables.items()]
        answers = await asyncio.gather(*asked)
        return all(answers)


def _use(engine: Engine, table: str) -> bool:
    try:
        with database_timeouts.within(_PATIENCE_SECONDS), engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 (our table)
    except Exception as error:
        _logger.error("not ready: %s: %s", database.place(engine), database.reason(error))
        return False
    return True
