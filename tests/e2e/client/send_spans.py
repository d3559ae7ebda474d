"""Send a span by OpenTelemetry's own exporter; print what MLflow has of its trace as JSON."""

import base64
import json
import os

import mlflow
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


def main() -> None:
    experiment = mlflow.set_experiment("spans").experiment_id
    login = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ['MLFLOW_TRACKING_PASSWORD']}"
    exporter = OTLPSpanExporter(
        endpoint=f"{os.environ['MLFLOW_TRACKING_URI']}/v1/traces",
        headers={
            "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
            "x-mlflow-experiment-id": experiment,
        },
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("e2e").start_as_current_span("answer") as span:
        span.set_attribute("question", "six times seven")
    provider.shutdown()
    traces = mlflow.search_traces(locations=[experiment], return_type="list")
    (newest, *_) = traces
    print(json.dumps({one.name: one.attributes.get("question") for one in newest.data.spans}))


if __name__ == "__main__":
    main()
