"""Answers the probes of a pod in which Patroni does not run yet."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Waiting:
    """A member that waits: it is alive, and ready or not."""

    def __init__(self) -> None:
        self.ready = False


@contextmanager
def answered(address: str, port: int) -> Generator[Waiting]:
    """Answer probes until the block ends.

    Args:
        address: address of the pod, which tells the family of the addresses.
        port: Patroni's port, which is free for Patroni afterwards.
    """
    waiting = Waiting()

    class Probes(BaseHTTPRequestHandler):
        """Answers as Patroni's REST API does."""

        def do_GET(self) -> None:
            """Answer `/readiness` by what is known, and everything else with 200."""
            wrong = self.path.startswith("/readiness") and not waiting.ready
            self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        """Listens on all addresses of the pod."""

        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with Server(("", port), Probes) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield waiting
        finally:
            server.shutdown()
