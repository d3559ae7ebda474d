"""Runs per second that a server takes from a number of clients."""

import http.client
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.stack import Stack, basic_login

BATCHES = 10
"""How many batches of metrics a run has."""
_PARAMS = [{"key": f"p{number}", "value": str(number)} for number in range(10)]


@dataclass(frozen=True)
class Load:
    """A measurement of a server with some clients."""

    runs: float
    """Complete runs a second: created, 10 params and 10 batches of 10 metrics logged, ended."""
    slow: float
    """The 95th percentile of the requests' times, in milliseconds."""
    cores: float
    """Cores that the clients used."""
    failed: int
    """Requests that were answered with another status than 200."""


class _RefusedError(Exception):
    """A request was answered with another status than 200."""


class _Client:
    """One connection to a stack's server, through the ingress."""

    def __init__(self, address: str, client_env: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=60)
        self._headers = {
            "Host": client_env["MLFLOW_TRACKING_URI"].removeprefix("http://"),
            "Content-Type": "application/json",
        }
        if "MLFLOW_TRACKING_USERNAME" in client_env:
            self._headers["Authorization"] = basic_login(client_env)
        self.seconds: list[float] = []
        self.failed = 0

    def log_runs(self, seconds: float) -> None:
        """Log runs until time is up; begin another run after a request that fails."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self._log_run()
            except _RefusedError:
                self.failed += 1

    def _log_run(self) -> None:
        made = self._post("runs/create", {"experiment_id": "0", "start_time": 1})
        run = {"run_id": made["run"]["info"]["run_id"]}
        self._post("runs/log-batch", {**run, "params": _PARAMS})
        for step in range(BATCHES):
            self._post("runs/log-batch", {**run, "metrics": _metrics(step)})
        self._post("runs/update", {**run, "status": "FINISHED", "end_time": 2})

    def _post(self, call: str, body: Mapping[str, object]) -> dict[str, dict[str, dict[str, str]]]:
        path = f"/api/2.0/mlflow/{call}"
        begun = time.monotonic()
        try:
            self._connection.request("POST", path, json.dumps(body), self._headers)
            answer = self._connection.getresponse()
        except http.client.RemoteDisconnected:
            # When Ingresses of another stack change, the controller closes idle connections.
            self._connection.close()
            return self._post(call, body)
        content = answer.read()
        if answer.status != http.client.OK:
            raise _RefusedError(call, answer.status)
        self.seconds.append(time.monotonic() - begun)
        found: dict[str, dict[str, dict[str, str]]] = json.loads(content)
        return found


def measure(stack: Stack, clients: int, seconds: float) -> Load:
    """Have clients log runs to a stack's server for some seconds."""
    address = stack.outputs()["hosts_line"].split()[0]
    client_env = stack.client_env()
    all_clients = [_Client(address, client_env) for _ in range(clients)]
    begun, before = time.monotonic(), os.times()
    with ThreadPoolExecutor(clients) as pool:
        for ended in [pool.submit(one.log_runs, seconds) for one in all_clients]:
            ended.result()
    taken, after = time.monotonic() - begun, os.times()
    times = sorted(each for one in all_clients for each in one.seconds)
    return Load(
        # A run is 12 requests and the one that ends it.
        runs=len(times) / (BATCHES + 3) / taken,
        slow=1000 * times[int(0.95 * len(times))],
        failed=sum(one.failed for one in all_clients),
        cores=(after.user + after.system - before.user - before.system) / taken,
    )


def _metrics(step: int) -> list[dict[str, object]]:
    return [
        {"key": f"m{number}", "value": number, "timestamp": 1_700_000_000_000 + step, "step": step}
        for number in range(10)
    ]
