"""Refusals that say what is accepted, where MLflow's own answer does not.

MLflow answers a missing permission with two words, whatever the request was. It refuses a source
that `MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX` excludes without naming the accepted
sources. Both refusals follow from settings of this product (login/basic_auth.py,
components/tracking_server.py).
"""

import json
import re
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PERMISSION = (
    "Permission denied: this is for its owner, for whom its owner or an admin let in, and for "
    "admins. A client that names no experiment writes to Default, which is the admins': set "
    "MLFLOW_EXPERIMENT_NAME, or call mlflow.set_experiment, with the name of an experiment of your "
    "own"
)
LOGIN = (
    "You are not authenticated: a user's name and password are needed. MLflow's client reads them "
    "from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; an admin makes users"
)
SOURCES = (
    "accepted: models:/<id of a logged model>, models:/<registered model>/<version>, "
    "runs:/<run>/<path> and mlflow-artifacts:/<path>, the last two with the run_id of the run that "
    "the path belongs to; who may read a model depends on where its files are"
)
_PERMISSION = b"Permission denied"
_SOURCE = re.compile(r"(Invalid model version source: '.*')\.", re.DOTALL)


class Explained:
    """Adds to an application's refusals what is accepted; passes on every other answer as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None
        body = bytearray()

        async def explain(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                if message["status"] in (HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
                    held = message
                    return
            elif held is not None:
                body.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                said = bytes(body)
                if (told := _explained(held["status"], said)) is not None:
                    said, held = told, _as_json(held, len(told))
                await send(held)
                message = {**message, "body": said}
            await send(message)

        await self._app(scope, receive, explain)


def _explained(status: int, body: bytes) -> bytes | None:
    """Return what is answered in the place of a refusal, or nothing to leave the refusal alone."""
    if status == HTTPStatus.FORBIDDEN:
        if body != _PERMISSION:
            return None
        told = {"error_code": "PERMISSION_DENIED", "message": PERMISSION}
    else:
        try:
            told = json.loads(body)
            source = _SOURCE.fullmatch(told["message"])
        except (ValueError, TypeError, KeyError):
            return None
        if not source:
            return None
        told["message"] = f"{source[1]}; {SOURCES}"
    return json.dumps(told).encode()


def _as_json(start: Message, length: int) -> Message:
    """Return the begin of an answer, changed to JSON of this length in bytes."""
    headers = [
        (key, value)
        for key, value in start["headers"]
        if key.lower() not in (b"content-type", b"content-length")
    ]
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(length).encode()),
    ]
    return {**start, "headers": headers}
