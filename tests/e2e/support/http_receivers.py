"""Servers that the tracking server calls: receivers of webhooks, model providers, proxies.

They are threads of the tests, on the machine's end of the lab's network.
"""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.support.external_servers import ADDRESS, certificate

# What a model answers; also run by a pod, which has nothing of the tests.
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "a-model",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
IN_A_POD = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer

class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write({json.dumps(ANSWER).encode()!r})

HTTPServer(("0.0.0.0", 8000), Model).serve_forever()
"""


@dataclass
class Receiver:
    """A server, and what was asked of it."""

    port: int
    ca: str = ""
    """The authority of its certificate, where it speaks TLS."""
    asked: list[tuple[str, dict[str, str]]] = field(
        default_factory=list[tuple[str, dict[str, str]]]
    )
    """Each request's target and headers."""


@contextmanager
def receiver(tls: Path | None = None) -> Iterator[Receiver]:
    """Have a server that takes every POST; with a folder for its certificate it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.asked.append((self.path, dict(self.headers)))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(ANSWER).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((ADDRESS, 0), Handler) as server:
        found = Receiver(server.server_address[1])
        if tls:
            found.ca = certificate(tls, f"IP:{ADDRESS}")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls / "public.crt", tls / "private.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()
