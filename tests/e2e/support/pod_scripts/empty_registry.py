"""An image registry that has no image: printed is its port on loopback, then it answers."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# https://distribution.github.io/distribution/spec/api/#errors-2
UNKNOWN = json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})


class Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        there = self.path == "/v2/"
        self.send_response(200 if there else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"{}" if there else UNKNOWN.encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    print(server.server_port, flush=True)
    server.serve_forever()
