"""Send a span with OpenTelemetry's SDK; print what MLflow has of its trace, and a refusal, as JSON.

The variable `COMMANDS` has shell commands that export what the SDK reads.
"""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

sys.path.append("/tmp/packages")  # noqa: S108 (in the pod, which has the exporter there)

import mlflow
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.util.re import parse_env_headers

ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"


class Kept(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def main() -> None:
    os.environ |= exported(os.environ["COMMANDS"])
    experiment = mlflow.get_experiment_by_name("my-app").experiment_id
    send()
    traces = mlflow.search_traces(locations=[experiment], return_type="list")
    (newest, *_) = traces
    spans = {one.name: one.attributes.get("question") for one in newest.data.spans}

    handler = Kept()
    logging.getLogger("opentelemetry").addHandler(handler)
    os.environ[HEADERS] = os.environ[HEADERS].replace(f"-id={experiment}", "-id=my-app")
    send()
    headers = parse_env_headers(os.environ[HEADERS])
    answer = requests.post(os.environ[ENDPOINT], headers=headers, timeout=30)
    print(json.dumps({"spans": spans, "said": " ".join(handler.said), "answered": answer.text}))


def exported(commands: str) -> dict[str, str]:
    """Return the variables of OpenTelemetry that a shell exports after these commands."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    answer = subprocess.run(
        ["/bin/sh", "-ec", f"{commands}\nexec env"],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = [line.partition("=") for line in answer.stdout.splitlines()]
    return {name: value for name, _, value in lines if name.startswith("OTEL_")}


def send() -> None:
    """Send one span, with an exporter that knows nothing but the environment."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    with provider.get_tracer("e2e").start_as_current_span("answer") as span:
        span.set_attribute("question", "six times seven")
    provider.shutdown()


if __name__ == "__main__":
    main()
