"""Sends requests byte by byte, because clients would correct them."""

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def message(self) -> str:
        """What MLflow says of an error."""
        text: str = json.loads(self.body)["message"]
        return text


@dataclass(frozen=True)
class Raw:
    """A server, and who asks it; no login means a stranger."""

    port: int
    login: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, with the path and the body as they are."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Authorization": self.login} if self.login else {}
        connection.request(method, path, body, sent | dict(headers or {}))
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def call(self, name: str, /, **told: object) -> Any:
        """Call MLflow's API, and return what it says."""
        headers = {"Content-Type": "application/json"}
        answer = self.ask("POST", f"/api/{name}", json.dumps(told).encode(), headers)
        assert answer.status == http.HTTPStatus.OK, (name, answer.status, answer.body)
        return json.loads(answer.body)
