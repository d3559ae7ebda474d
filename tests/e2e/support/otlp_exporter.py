"""An OpenTelemetry exporter that is not MLflow's, set up by what the README prints."""

from collections.abc import Mapping

from harness.clients import Place
from tests.documents import block

EXPORTER = (
    "googleapis-common-protos",
    "opentelemetry-exporter-http-transport",
    "opentelemetry-exporter-otlp-common",
    "opentelemetry-exporter-otlp-proto-common",
    "opentelemetry-exporter-otlp-proto-http",
)
"""OpenTelemetry's exporter, which MLflow's client does not bring."""


def assert_spans_arrive(place: Place, client_env: Mapping[str, str]) -> None:
    """Send a span with OpenTelemetry's SDK, set up by the README's variables alone."""
    commands = block("README.md, Traces from any OpenTelemetry exporter, 1")
    first = 'eval "$(make -s client-env)"\n'
    assert commands.startswith(first), "a client has these variables already"
    report = place.run(
        "send_spans.py",
        client_env={**client_env, "COMMANDS": commands.removeprefix(first)},
        seconds=120,
    )
    assert report["spans"] == {"answer": "six times seven"}
    assert "code: 400" in report["said"]
    assert "header x-mlflow-experiment-id: 'my-app'; expected the id" in report["answered"]
