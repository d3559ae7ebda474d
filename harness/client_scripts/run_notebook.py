"""Execute a notebook in the workspace as a browser does: by Jupyter's API and its websocket.

Standard input is a JSON object with the URL, the token, the notebook and its parameters; what the
notebook printed goes to standard output.
"""

import json
import sys
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import requests
import websocket

PATIENCE_SECONDS = 120


class Kernel:
    """A kernel, reached through a websocket."""

    def __init__(self, url: str, login: dict[str, str], kernel: str) -> None:
        self._session = uuid.uuid4().hex
        self._socket = websocket.create_connection(
            f"ws://{urlsplit(url).netloc}/api/kernels/{kernel}/channels?session_id={self._session}",
            header=login,
            timeout=PATIENCE_SECONDS,
        )

    def execute(self, code: str) -> str:
        """Run one cell, and return what it printed."""
        asked = {
            "msg_id": uuid.uuid4().hex,
            "session": self._session,
            "username": "",
            "msg_type": "execute_request",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "stop_on_error": True}
        message = {"channel": "shell", "header": asked, "content": content}
        self._socket.send(json.dumps({**message, "parent_header": {}, "metadata": {}}))
        printed: list[str] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = json.loads(self._socket.recv())
            if answer["parent_header"].get("msg_id") != asked["msg_id"]:
                continue
            kind, content = answer["msg_type"], answer["content"]
            if kind == "stream" and content["name"] == "stdout":
                printed.append(content["text"])
            elif kind == "error":
                raise SystemExit("\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                return "".join(printed)
        raise SystemExit(f"not over after {PATIENCE_SECONDS} s: {code}")


def sources(notebook: dict[str, Any], parameters: dict[str, Any]) -> list[str]:
    """Return the cells to execute, with the parameters set after the cell of their defaults."""
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            found.append("".join(cell["source"]))
            if "parameters" in cell["metadata"].get("tags", []):
                found.append("\n".join(f"{name} = {value!r}" for name, value in parameters.items()))
    return found


def main() -> None:
    given = json.load(sys.stdin)
    url, login = given["url"], {"Authorization": f"token {given['token']}"}
    with requests.Session() as api:
        api.headers.update(login)
        path = f"{uuid.uuid4().hex}.ipynb"
        body = {"type": "notebook", "content": given["notebook"]}
        api.put(f"{url}/api/contents/{path}", json=body, timeout=60).raise_for_status()
        body = {"type": "notebook", "path": path, "name": path, "kernel": {"name": "python3"}}
        session = api.post(f"{url}/api/sessions", json=body, timeout=60)
        session.raise_for_status()
        kernel = Kernel(url, login, session.json()["kernel"]["id"])
        for source in sources(given["notebook"], given["parameters"]):
            print(kernel.execute(source), end="")
        end = f"{url}/api/sessions/{session.json()['id']}"
        api.delete(end, timeout=60).raise_for_status()


if __name__ == "__main__":
    main()
