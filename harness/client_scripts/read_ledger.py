"""Read back all that ledgers say was acknowledged, and print what is lost or differs, as JSON.

Arguments: the ledger files. By kind of write, the answer has the number of acknowledged calls, of
what they wrote (a call that logs five metrics writes five), of what was not read back, of what was
read back otherwise, and of what is stored more often than it was acknowledged: MLflow's client
repeats a call whose answer it did not get.
"""

import hashlib
import json
import logging
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
from ledger_contents import metric, text
from mlflow.exceptions import MlflowException
from requests import RequestException

READERS = 8
EXAMPLES = 20
Entry = dict[str, Any]


class Findings:
    """What was compared, by kind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, Counter[str]] = defaultdict(Counter)
        self.examples: list[str] = []

    def add(self, kind: str, what: str, number: int = 1, example: object = None) -> None:
        with self._lock:
            self._numbers[kind][what] += number
            if example is not None and len(self.examples) < EXAMPLES:
                self.examples.append(f"{kind} {what}: {example}")

    def compare(self, kind: str, expected: object, found: object, place: object) -> None:
        self.add(kind, "written")
        if found is None:
            self.add(kind, "lost", example=place)
        elif found != expected:
            self.add(kind, "differing", example=f"{place}: {str(found)[:100]}")

    def report(self) -> dict[str, Any]:
        kinds = ("calls", "written", "lost", "differing", "twice")
        numbers = {
            kind: {what: counted[what] for what in kinds}
            for kind, counted in sorted(self._numbers.items())
        }
        return {"kinds": numbers, "examples": self.examples}


def _or_none(call: Callable[[], Any]) -> Any:
    """Return the answer, or None where MLflow says that there is no such thing."""
    try:
        return call()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            return None
        raise
    except RequestException as error:
        if error.response is not None and error.response.status_code == 404:
            return None
        raise


def read_run(run: str, entries: list[Entry], findings: Findings) -> None:
    """Compare a run with what was acknowledged of it."""
    client = mlflow.MlflowClient()
    found = _or_none(lambda: client.get_run(run))
    by_kind: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_kind[entry["kind"]].append(entry["wrote"])
    for wrote in by_kind["run"]:
        findings.compare("run", wrote["name"], found and found.info.run_name, run)
    for _ in by_kind["end"]:
        findings.compare("end", "FINISHED", found and found.info.status, run)
    for kind, stored in (
        ("params", found.data.params if found else {}),
        ("tags", found.data.tags if found else {}),
    ):
        for wrote in by_kind[kind]:
            for key in wrote["keys"]:
                findings.compare(kind, text(key), stored.get(key), f"{run} {key}")
    keys = max((wrote["keys"] for wrote in by_kind["metrics"]), default=0)
    for key in range(keys):
        history = _or_none(lambda: client.get_metric_history(run, f"m{key}")) or []  # noqa: B023
        values = {one.step: one.value for one in history}
        findings.add("metrics", "twice", len(history) - len(values))
        for wrote in by_kind["metrics"]:
            step = wrote["step"]
            findings.compare("metrics", metric(step, key), values.get(step), f"{run} m{key} {step}")
    for wrote in by_kind["artifacts"]:
        digest = _or_none(lambda: _digest(run, wrote["path"]))  # noqa: B023
        findings.compare("artifacts", wrote["sha256"], digest, f"{run} {wrote['path']}")


def _digest(run: str, path: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        file = mlflow.MlflowClient().download_artifacts(run, path, scratch)
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def read_model(name: str, entries: list[Entry], findings: Findings) -> None:
    """Compare a registered model, its versions and its aliases."""
    client = mlflow.MlflowClient()
    model = _or_none(lambda: client.get_registered_model(name))
    versions = {one.version: one for one in client.search_model_versions(f"name = '{name}'")}
    acknowledged = [entry for entry in entries if entry["kind"] == "versions"]
    findings.add("versions", "twice", max(0, len(versions) - len(acknowledged)))
    for entry in entries:
        kind, wrote = entry["kind"], entry["wrote"]
        if kind == "models":
            findings.compare(kind, name, model and model.name, name)
        elif kind == "versions":
            version = versions.get(int(wrote["version"])) or versions.get(wrote["version"])
            findings.compare(kind, wrote["run"], version and version.run_id, name)
        else:
            alias = model and model.aliases.get(wrote["alias"])
            findings.compare(kind, wrote["version"], alias and str(alias), name)


def read_trace(trace: str, entries: list[Entry], findings: Findings) -> None:
    """Compare a trace by the name of its span."""
    found = _or_none(lambda: mlflow.MlflowClient().get_trace(trace))
    for entry in entries:
        names = [span.name for span in found.data.spans] if found else None
        findings.compare("traces", [text(entry["wrote"]["name"])], names, trace)


Reader = Callable[[str, list[Entry], Findings], None]
READ: dict[str, Reader] = {"run": read_run, "model": read_model, "trace": read_trace}


def main() -> None:
    logging.disable(logging.ERROR)
    findings = Findings()
    things: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for file in sys.argv[1:]:
        for line in Path(file).read_text().splitlines():
            entry = json.loads(line)
            if wrote := entry.get("wrote"):
                findings.add(entry["kind"], "calls")
                (sort,) = [one for one in ("model", "run", "trace") if one in wrote][:1]
                things[sort, wrote[sort]].append(entry)
    with ThreadPoolExecutor(READERS) as readers:
        under_way = [
            readers.submit(READ[sort], name, entries, findings)
            for (sort, name), entries in things.items()
        ]
    for one in under_way:
        one.result()
    print(json.dumps(findings.report()))


if __name__ == "__main__":
    main()
