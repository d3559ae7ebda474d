"""`pulumi up --stack minikube` brings the stack up from nothing; a second one changes nothing."""

import pytest

from harness.stack import Stack


def test_up_from_nothing_gives_every_output(stack: Stack) -> None:
    address, *names = stack.outputs()["hosts_line"].split()
    assert names == [f"{stack.namespace}-{what}.local" for what in ("server", "minio", "console")]
    assert address[0].isdigit(), "the ingress controller's address is known"
    expected = {
        "tracking_uri": f"http://{stack.namespace}-server.local",
        "tracking_uri_in_cluster": f"http://mlflow.{stack.namespace}.svc:5000",
        "artifact_root": "s3://mlflow",
        "s3_endpoint_url": f"http://{stack.namespace}-minio.local",
        "client_env": {
            "MLFLOW_TRACKING_URI": f"http://{stack.namespace}-server.local",
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": stack.generated_secrets()["mlflow-admin-password"],
        },
    }
    outputs = stack.outputs()
    assert {key: value for key, value in outputs.items() if key in expected} == expected


def test_client_env_is_masked_unless_asked_for(stack: Stack) -> None:
    shown = stack.pulumi("stack", "output", "--stack", "minikube", "client_env").stdout
    assert shown.strip() == "[secret]"


@pytest.mark.parametrize("command", ["up", "preview", "refresh"])
def test_nothing_more_to_do(stack: Stack, command: str) -> None:
    said = stack.change(command, "--expect-no-changes")
    assert "unchanged" in said


def test_every_pod_is_ready_and_was_never_restarted(stack: Stack) -> None:
    states = {
        pod["metadata"]["labels"]["app.kubernetes.io/instance"]: (
            pod["status"]["phase"],
            [status["restartCount"] for status in pod["status"]["containerStatuses"]],
        )
        for pod in stack.kubectl.items("pods")
    }
    assert states == {
        stack.database.name: ("Running", [0]),
        "minio": ("Running", [0]),
        "mlflow": ("Running", [0]),
        "minio-bucket": ("Succeeded", [0]),
        "mlflow-migration": ("Succeeded", [0]),
    }
