"""A registry that asks for a login. It prints its port on loopback, and serves OCI archives.

The login, `user:password`, comes through standard input. Arguments are the archives.
"""

import base64
import json
import re
import shutil
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOGIN = f"Basic {base64.b64encode(sys.stdin.readline().strip().encode()).decode()}"


def _manifest(archive: str) -> tuple[str, str]:
    """Return the media type and the digest of the one image in an archive."""
    with tarfile.open(archive) as content:
        index = content.extractfile("index.json")
        assert index is not None
        (manifest,) = json.load(index)["manifests"]
        return str(manifest["mediaType"]), str(manifest["digest"])


MANIFESTS = [_manifest(archive) for archive in sys.argv[1:]]


class Registry(BaseHTTPRequestHandler):
    """The part of the protocol by which images are pulled.

    Source: https://distribution.github.io/distribution/spec/api/
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != LOGIN:
            words = b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
            self._answer(401, "application/json", words)
        elif self.path == "/v2/":
            self._answer(200, "application/json", b"{}")
        else:
            self._send(self.path)

    do_HEAD = do_GET  # noqa: N815 (the protocol gives the name)

    def _send(self, path: str) -> None:
        found = re.fullmatch(r"/v2/.+/(manifests|blobs)/(sha256:[0-9a-f]{64}|[\w.-]+)", path)
        media_type, digest = "application/octet-stream", found[2] if found else ""
        if found and found[1] == "manifests":
            # Every tag is the first image's.
            known = {name: kind for kind, name in MANIFESTS}
            digest = digest if digest in known else MANIFESTS[0][1]
            media_type = known[digest]
        for archive in sys.argv[1:]:
            with tarfile.open(archive) as content:
                try:
                    member = content.getmember(f"blobs/{digest.replace(':', '/')}")
                except KeyError:
                    continue
                blob = content.extractfile(member)
                assert blob is not None
                self._head(200, media_type, member.size, digest)
                if self.command == "GET":
                    shutil.copyfileobj(blob, self.wfile)
                return
        self._answer(404, "application/json", b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self._head(status, media_type, len(body))
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, status: int, media_type: str, size: int, digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(size))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    print(server.server_port, flush=True)
    server.serve_forever()
