"""How many requests a second a server answers to clients that log runs, one after the other."""

import http.client
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from harness.stack import Stack, basic_login

CLIENTS = 8
_BATCH = {
    "params": [{"key": f"p{number}", "value": str(number)} for number in range(10)],
    "metrics": [
        {"key": f"m{number}", "value": number, "timestamp": 1_700_000_000_000, "step": 0}
        for number in range(10)
    ],
}


class Client:
    """One connection to a stack's server, through the ingress."""

    def __init__(self, address: str, client_env: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=60)
        self._headers = {
            "Host": client_env["MLFLOW_TRACKING_URI"].removeprefix("http://"),
            "Content-Type": "application/json",
        }
        if "MLFLOW_TRACKING_USERNAME" in client_env:
            self._headers["Authorization"] = basic_login(client_env)
        self.requests = 0

    def log_runs(self, seconds: float) -> int:
        """Log runs until time is up, and return the number of requests."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            made = self._post("runs/create", {"experiment_id": "0", "start_time": 1})
            run = {"run_id": made["run"]["info"]["run_id"]}
            self._post("runs/log-batch", {**run, **_BATCH})
            self._post("runs/update", {**run, "status": "FINISHED", "end_time": 2})
        return self.requests

    def _post(self, call: str, body: Mapping[str, object]) -> dict[str, dict[str, dict[str, str]]]:
        path = f"/api/2.0/mlflow/{call}"
        try:
            self._connection.request("POST", path, json.dumps(body), self._headers)
            answer = self._connection.getresponse()
        except http.client.RemoteDisconnected:
            # The ingress takes in the second stack's rules, and ends connections that wait.
            self._connection.close()
            return self._post(call, body)
        content = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{call}: {answer.status} {content[:200]!r}")
        self.requests += 1
        found: dict[str, dict[str, dict[str, str]]] = json.loads(content)
        return found


def throughput(stack: Stack, seconds: float) -> float:
    """Return the requests in a second, of all clients together."""
    address = stack.outputs()["hosts_line"].split()[0]
    client_env = stack.client_env()
    clients = [Client(address, client_env) for _ in range(CLIENTS)]
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        done: int = sum(pool.map(lambda client: client.log_runs(seconds), clients))
    return done / (time.monotonic() - begun)
