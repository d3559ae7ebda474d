"""The server package on a real MLflow, beside MLflow without the package: the tests in inside/."""

from pathlib import Path

from tests import server_environment


def test_each_patch_does_what_it_is_for_and_mlflow_alone_does_not() -> None:
    server_environment.run_tests(Path(__file__).parent / "inside", {})
