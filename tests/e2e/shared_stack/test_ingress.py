"""Long transfers, large bodies and unusual names pass the ingress controller."""

import pytest

from commands import up
from harness import clients
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support import artifact_names, otlp_exporter


# Long enough to pass every limit of 60 s that a controller has unless it is told otherwise.
@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.long)])
def test_slow_transfers_are_not_cut_off(
    stack: Stack, machine: clients.Machine, seconds: int
) -> None:
    # More than the buffers of every socket on the way, so that all wait for the client.
    size = 60_000_000
    report = machine.run(
        "transfer_slowly.py",
        *(f"--size={size}", f"--seconds={seconds}"),
        client_env=stack.client_env(),
        seconds=seconds + 120,
    )
    print(report)
    assert report["upload"] == [200, True]
    assert report["download"]
    assert min(report["upload_seconds"], report["download_seconds"]) >= seconds


def test_spans_arrive_by_opentelemetry(stack: Stack, machine: clients.Machine) -> None:
    otlp_exporter.assert_spans_arrive(machine, stack.client_env())


def test_make_up_asks_as_a_client_does(stack: Stack) -> None:
    outputs = stack.outputs()
    uri, address = outputs["tracking_uri"], up.address_in(outputs["hosts_line"])
    up.wait(uri, address, None, outputs["client_env"])
    # By hand, for the setting refuses it.
    annotate = ("annotate", "ingress", "mlflow", "--overwrite")
    rewrite = "nginx.ingress.kubernetes.io/rewrite-target"
    stack.kubectl(*annotate, f"{rewrite}=/else")
    try:
        assert address
        wait_until(
            lambda: "HTTP" in up._ask(uri, address, None, outputs["client_env"]),
            30,
            "what `make up` asks is answered with something else",
        )
    finally:
        stack.kubectl(*annotate, f"{rewrite}-")
    up.wait(uri, address, None, outputs["client_env"])


def test_names_that_need_escaping_pass_or_are_refused(
    stack: Stack, machine: clients.Machine
) -> None:
    artifact_names.assert_kept_or_refused(machine, stack.client_env())
