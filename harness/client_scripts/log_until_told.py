"""Log without a pause until standard input says so, then read back all that was acknowledged.

Prints one line for each acknowledged step, `failed <why>` for each refused one, and a JSON report
at the end. A call that raised promised nothing: what it sent may or may not be there. With
`--traces`, traces are logged as well.
"""

import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from requests import RequestException


class Traces(logging.Handler):
    """Logs traces. MLflow only warns where it cannot send one, so that a program goes on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.ids: dict[int, str] = {}
        """By step, also of those that were refused."""
        self._warned: list[str] = []
        # The answer is wanted before the next call.
        os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
        mlflow.set_experiment(experiment_id="0")
        logging.getLogger("mlflow.tracing").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._warned.append(record.getMessage())

    def log(self, step: int) -> None:
        self._warned.clear()
        with mlflow.start_span(f"trace {step}") as span:
            span.set_inputs({"step": step})
        self.ids[step] = span.trace_id
        if self._warned:
            raise MlflowException(self._warned[0])

    def is_kept(self, step: int) -> bool:
        trace = mlflow.get_trace(self.ids[step], silent=True)
        return (
            trace is not None
            and [span.inputs for span in trace.data.spans] == [{"step": step}]
            and trace.info.tags.get("mlflow.traceName") == f"trace {step}"
        )


def main() -> None:
    client = mlflow.MlflowClient()
    traces = Traces() if "--traces" in sys.argv else None
    run_id = client.create_run("0", run_name="continuous").info.run_id
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        stop.set()

    threading.Thread(target=listen, daemon=True).start()

    acknowledged: dict[str, list[int]] = {"metric": [], "param": [], "artifact": []}
    if traces:
        acknowledged["trace"] = []
    failures = 0
    slowest = 0.0
    step = 0
    with tempfile.TemporaryDirectory() as scratch:
        while not stop.is_set():
            step += 1
            file = Path(scratch) / f"{step}.txt"
            file.write_text(f"content of {step}\n" * 100)
            metric = Metric("step", float(step), int(time.time() * 1000), step)
            calls: dict[str, Callable[[], object]] = {
                "metric": partial(client.log_batch, run_id, metrics=[metric]),
                "param": partial(client.log_batch, run_id, params=[Param(f"p{step}", str(step))]),
                "artifact": partial(client.log_artifact, run_id, str(file), "files"),
            }
            if traces:
                calls["trace"] = partial(traces.log, step)
            for kind, call in calls.items():
                start = time.monotonic()
                try:
                    call()
                except (MlflowException, RequestException) as error:
                    failures += 1
                    print(f"failed {kind} {step} {str(error)[:200]!r}", flush=True)
                else:
                    acknowledged[kind].append(step)
                    print(f"{kind} {step}", flush=True)
                slowest = max(slowest, time.monotonic() - start)
            file.unlink()

        history = client.get_metric_history(run_id, "step")
        params = client.get_run(run_id).data.params
        folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=scratch))
        files = {path.name: path.read_text() for path in (folder / "files").iterdir()}
    metrics = {entry.step: entry.value for entry in history}
    lost = {
        "metric": [n for n in acknowledged["metric"] if metrics.get(n) != n],
        "param": [n for n in acknowledged["param"] if params.get(f"p{n}") != str(n)],
        "artifact": [
            n
            for n in acknowledged["artifact"]
            if files.get(f"{n}.txt") != f"content of {n}\n" * 100
        ],
    }
    if traces:
        lost["trace"] = [n for n in acknowledged["trace"] if not traces.is_kept(n)]
    report = {
        "run_id": run_id,
        "trace_ids": [*traces.ids.values()] if traces else [],
        "acknowledged": {kind: len(steps) for kind, steps in acknowledged.items()},
        "failures": failures,
        "slowest_seconds": round(slowest, 1),
        "lost": lost,
        "twice": len(history) - len(metrics),
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
