"""Write what MLflow stores as several clients at once, and note each answer in a ledger.

Arguments: the ledger file, a name for the clients, the number of clients, the pause after
each call in seconds, and how often MLflow's client repeats a call: as often as by itself if left
out. A line on standard input ends the clients.

The ledger has one JSON object per line and call: the client, the kind, the time of its begin
(seconds since 1970), how long the call took, and either what was acknowledged or the answer that
the client got in place of an acknowledgement. What a failed call sent may or may not be stored.
The first client writes no artifacts, the second writes artifacts alone, the others write all kinds.
"""

import hashlib
import json
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
from ledger_contents import artifact, metric, text
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response
from requests import RequestException

METRICS, PARAMS = 16, 3
SMALL, LARGE = 10_000, 3_000_000
STEPS = 30
AFTER_A_FAILURE_SECONDS = 0.2
_stop = threading.Event()


class Ledger:
    """The file, which all clients of this process share."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open("a")
        self._lock = threading.Lock()

    def note(self, **entry: Any) -> None:
        with self._lock:
            self._stream.write(json.dumps(entry) + "\n")
            self._stream.flush()


class Client:
    """One client, which makes one call after the other."""

    def __init__(self, ledger: Ledger, name: str, experiment: str, pause: float) -> None:
        self._ledger = ledger
        self._name = name
        self._experiment = experiment
        self._pause = pause
        self._mlflow = mlflow.MlflowClient()
        self._runs = 0

    def work(self, kinds: str) -> None:
        while not _stop.is_set():
            self._runs += 1
            for _ in self._run(f"{self._name}-{self._runs}", kinds):
                if _stop.is_set():
                    break

    def _try(self, kind: str, wrote: dict[str, Any], call: Callable[[], Any]) -> Any:
        """Make a call, note how it ended, and return its answer; None if it failed."""
        began, start = time.time(), time.monotonic()
        entry: dict[str, Any] = {"client": self._name, "kind": kind, "began": began}
        answer = None
        try:
            answer = call()
        except (MlflowException, RequestException) as error:
            entry |= {"refused": _answer(error), "said": str(error)[:300]}
        else:
            entry["wrote"] = wrote | (answer if isinstance(answer, dict) else {})
        self._ledger.note(**entry, took=round(time.monotonic() - start, 4))
        _stop.wait(self._pause if "wrote" in entry else AFTER_A_FAILURE_SECONDS)
        return answer

    def _run(self, name: str, kinds: str) -> Iterator[None]:
        """Make a run and write to it; yields after each call."""
        made = None
        while made is None:
            made = self._try("run", {"name": name}, lambda: self._make_run(name))
            yield
        run = made["run"]
        for step in range(1, STEPS + 1):
            if kinds != "artifacts":
                self._log(run, step)
                yield
                if step % 3 == 0:
                    self._log_params(run, step)
                    yield
                    self._tag(run, step)
                    yield
                if step % 8 == 0:
                    self._trace(f"{name}-{step}")
                    yield
            if kinds == "artifacts" or (kinds == "all" and step % 4 == 0):
                self._log_artifact(run, name, step)
                yield
        if kinds != "artifacts":
            self._register(run, name)
            yield
        ended = {"run": run}
        self._try("end", ended, lambda: self._mlflow.set_terminated(run, "FINISHED"))

    def _make_run(self, name: str) -> dict[str, str]:
        run = self._mlflow.create_run(self._experiment, run_name=name)
        return {"run": run.info.run_id}

    def _log(self, run: str, step: int) -> None:
        now = int(time.time() * 1000)
        values = [Metric(f"m{key}", metric(step, key), now, step) for key in range(METRICS)]
        wrote = {"run": run, "step": step, "keys": METRICS}
        self._try("metrics", wrote, lambda: self._mlflow.log_batch(run, metrics=values))

    def _log_params(self, run: str, step: int) -> None:
        keys = [f"p{step}-{n}" for n in range(PARAMS)]
        values = [Param(key, text(key)) for key in keys]
        wrote = {"run": run, "keys": keys}
        self._try("params", wrote, lambda: self._mlflow.log_batch(run, params=values))

    def _tag(self, run: str, step: int) -> None:
        key = f"t{step}"
        values = [RunTag(key, text(key))]
        wrote = {"run": run, "keys": [key]}
        self._try("tags", wrote, lambda: self._mlflow.log_batch(run, tags=values))

    def _trace(self, name: str) -> None:
        number = hashlib.sha256(name.encode()).hexdigest()
        now = str(time.time_ns())
        span = {
            "traceId": number[:32],
            "spanId": number[:16],
            "name": text(name),
            "startTimeUnixNano": now,
            "endTimeUnixNano": now,
        }
        sent = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}

        def send() -> None:
            path = "/v1/traces"
            server = get_default_host_creds(mlflow.get_tracking_uri())
            headers = {"x-mlflow-experiment-id": self._experiment}
            answer = http_request(server, path, "POST", json=sent, extra_headers=headers)
            verify_rest_response(answer, path)

        self._try("traces", {"trace": f"tr-{number[:32]}", "name": name}, send)

    def _log_artifact(self, run: str, name: str, step: int) -> None:
        size = LARGE if step % 20 == 0 else SMALL + step
        content = artifact(f"{name}-{step}", size)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / f"a{step}.bin"
            file.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            wrote = {"run": run, "path": f"files/{file.name}", "sha256": digest, "size": size}
            self._try("artifacts", wrote, lambda: self._mlflow.log_artifact(run, file, "files"))

    def _register(self, run: str, name: str) -> None:
        def make() -> dict[str, str]:
            found = self._mlflow.create_model_version(
                name, f"runs:/{run}/files", run, await_creation_for=None
            )
            return {"version": str(found.version)}

        model = {"model": name}
        if not self._try("models", model, lambda: self._mlflow.create_registered_model(name)):
            return
        made = self._try("versions", {**model, "run": run}, make)
        if made:
            wrote = {**model, **made, "alias": "champion"}
            set_alias = self._mlflow.set_registered_model_alias
            self._try("aliases", wrote, lambda: set_alias(name, "champion", made["version"]))


def _answer(error: Exception) -> str:
    """Return the status of an answer, MLflow's code, or how the connection ended."""
    response = getattr(error, "response", None)
    if response is not None:
        return str(response.status_code)
    # What MLflow's client makes of an answer that it would repeat.
    if status := re.search(r"too many (\d{3}) error|failed with error code (\d{3})", str(error)):
        return status[1] or status[2]
    if isinstance(error, RestException):
        return str(error.json.get("error_code", "no code"))
    return "timeout" if "timed out" in str(error) else "no answer"


def _experiment(name: str) -> str:
    """Make an experiment, or find the one that another writer has made at the same time."""
    try:
        return str(mlflow.MlflowClient().create_experiment(name))
    except RestException:
        return str(mlflow.get_experiment_by_name(name).experiment_id)


def main() -> None:
    file, name, clients, pause, *retries = sys.argv[1:]
    # Models and traces of earlier writers on the same stack keep their names.
    name = f"{name}-{time.time_ns():x}"
    logging.disable(logging.ERROR)  # of each repeated request
    # MLflow prints two lines for each run that ends. Standard output is a pipe that is read at the
    # end: after some hundred runs it is full, and every client waits.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    ledger = Ledger(Path(file))
    experiment = _experiment("ledger")
    # The experiment is no part of the ledger: no client can write without it.
    if retries:
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = retries[0]
    kinds = ["metadata", "artifacts", *["all"] * int(clients)][: int(clients)]
    threads = [
        threading.Thread(
            target=Client(ledger, f"{name}-{number}", experiment, float(pause)).work, args=(kind,)
        )
        for number, kind in enumerate(kinds)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    _stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"clients": len(threads)}))


if __name__ == "__main__":
    main()
