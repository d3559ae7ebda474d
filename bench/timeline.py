"""Where the seconds of `pulumi up` and `pulumi destroy` go: each resource, and each step of a pod.

The engine writes its events with the time in whole seconds. The steps of pods are what
`kubectl get pods --watch` prints.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from harness.kubectl import Kubectl, ready
from harness.programs import ENDS_WITH_US
from harness.stack import Stack

_SHORTEST = 1.0
"""Seconds that a resource takes at least in order to be shown."""


class Span(NamedTuple):
    """What took time, in seconds from the start of a command."""

    start: float
    end: float
    what: str


def measure(stack: Stack, command: str, scratch: Path) -> list[Span]:
    """Run `up` or `destroy`, and return what took time, by its start."""
    # Without this variable, Pulumi has no option --event-log.
    stack.environment["PULUMI_DEBUG_COMMANDS"] = "true"
    log = scratch / f"{command}.events"
    steps: list[tuple[float, dict[str, Any]]] = []
    start = time.time()
    with _watched(stack.kubectl, steps):
        stack.change(command, f"--event-log={log}")
    end = time.time()
    spans = [Span(start, end, f"`pulumi {command}`"), *_resources(log), *_pods(steps)]
    # The first events of the watch are of what was there before.
    return sorted(Span(a - start, b - start, what) for a, b, what in spans if a >= start - 1)


def rows(spans: list[Span]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {start:.1f} | {end - start:.1f} | {what} |" for start, end, what in spans]


def _resources(log: Path) -> Iterator[Span]:
    begun: dict[tuple[str, str], float] = {}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if before := event.get("resourcePreEvent"):
            begun[_step(before)] = event["timestamp"]
        elif (after := event.get("resOutputsEvent")) and _step(after) in begun:
            operation, urn = _step(after)
            first, last = begun[_step(after)], event["timestamp"]
            *_, kind, name = urn.split("::")
            if last - first >= _SHORTEST:
                yield Span(first, last, f"{operation} {kind.rpartition('$')[2]} {name}")


def _step(event: dict[str, dict[str, str]]) -> tuple[str, str]:
    return event["metadata"]["op"], event["metadata"]["urn"]


def _pods(steps: list[tuple[float, dict[str, Any]]]) -> Iterator[Span]:
    """Return what each pod did: it waited to run, ran until it was ready or over, and ended.

    While a pod waits, its init containers run. Their times are in whole seconds.
    """
    last: dict[str, tuple[float, str]] = {}
    latest: dict[str, dict[str, Any]] = {}
    for moment, event in steps:
        pod = event["object"]
        if event["type"] == "DELETED":
            state = "gone"
        elif "deletionTimestamp" in pod["metadata"]:
            state = "ends"
        elif ready(pod):
            state = "is ready"
        else:
            state = {"Pending": "waits", "Running": "runs"}.get(pod["status"]["phase"], "is over")
        name = pod["metadata"]["name"]
        since, former = last.get(name, (moment, state))
        if state != former:
            if former not in ("is ready", "is over"):
                yield Span(since, moment, f"pod {name} {former}")
            since = moment
        last[name] = since, state
        latest[name] = pod["status"]
    for name, status in latest.items():
        for each in status.get("initContainerStatuses", []):
            if over := each["state"].get("terminated"):
                first, end = (
                    datetime.fromisoformat(over[moment]).timestamp()
                    for moment in ("startedAt", "finishedAt")
                )
                yield Span(first, end, f"init container {name} {each['name']}")


@contextmanager
def _watched(kubectl: Kubectl, steps: list[tuple[float, dict[str, Any]]]) -> Generator[None]:
    """Note every change of a pod of the namespace, with its time."""
    watch = ("get", "pods", "--watch", "--output-watch-events", "--output=json")
    with subprocess.Popen(
        [*ENDS_WITH_US, *kubectl.command(*watch)],
        env=dict(kubectl.environment),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        lines = process.stdout or ()
        reader = threading.Thread(
            target=lambda: steps.extend((time.time(), json.loads(line)) for line in lines)
        )
        reader.start()
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            reader.join()
