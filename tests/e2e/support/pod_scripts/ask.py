"""Send the server in this pod requests as they are, and print each status with what was answered.

A listener of its own, where no server should ever call, counts who did.
"""

import base64
import http.client
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Not the loopback: some of MLflow's pages believe whoever comes from there.
address = socket.gethostbyname(socket.gethostname())
asked: list[dict[str, Any]] = json.loads(os.environ["REQUESTS"])
mine = threading.local()
callers: list[str] = []


def listen(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(2)
            try:
                callers.append(connection.recv(200).decode(errors="replace"))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary")
            except OSError as error:
                # One that connects has called, whatever it says.
                callers.append(str(error))


def send(one: dict[str, Any]) -> tuple[int, str]:
    headers = {"Host": "localhost:5000", **one.get("headers", {})}
    if login := one.get("login"):
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    body = one.get("body")
    if not isinstance(body, str | None):
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(body)
    for _ in range(2):
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection(address, 5000, timeout=120)
        try:
            mine.connection.request(one["verb"], one["path"], body and body.encode(), headers)
            answer = mine.connection.getresponse()
            return answer.status, answer.read(100_000).decode(errors="replace")
        except TimeoutError:
            del mine.connection
            return 0, "no answer in time"
        except (http.client.HTTPException, ConnectionError):
            # An idle connection that the server has closed meanwhile.
            del mine.connection
    return 0, "no answer"


port = int(os.environ["LISTEN"])
listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
threading.Thread(target=listen, args=[listener], daemon=True).start()
# What is called on purpose shows that who calls is counted.
for loopback in ("127.0.0.1", "::1"):
    with socket.create_connection((loopback, port), timeout=10) as call:
        call.sendall(loopback.encode())
        call.recv(200)
with ThreadPoolExecutor(int(os.environ.get("AT_ONCE", "4"))) as pool:
    answers = list(pool.map(send, asked))
print(json.dumps({"answers": answers, "callers": callers}))
