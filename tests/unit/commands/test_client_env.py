"""The authority in a client's environment, where the stack has one."""

from pathlib import Path

import pytest

from commands.client_env import trusting

URI = {"MLFLOW_TRACKING_URI": "https://ml.invalid"}
OUTPUTS = {"ca_certificate": "PEM\n", "hosts_line": "192.0.2.1 ml.invalid s3.invalid"}


def test_a_file_has_the_authority_and_one_variable_names_it(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    assert trusting(file, URI, OUTPUTS) == {**URI, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(file)}
    assert file.read_text() == "PEM\n"


def test_a_stack_without_one_needs_no_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    assert trusting(file, URI, {"hosts_line": OUTPUTS["hosts_line"]}) == URI
    assert not file.exists()


@pytest.mark.parametrize(("host", "ours"), [("s3.invalid", True), ("s3.example", False)])
def test_the_store_is_trusted_by_it_where_it_is_the_stacks(
    host: str, ours: bool, tmp_path: Path
) -> None:
    variables = {**URI, "MLFLOW_S3_ENDPOINT_URL": f"https://{host}"}
    found = trusting(tmp_path / "ca.pem", variables, OUTPUTS)
    assert ("AWS_CA_BUNDLE" in found) is ours
