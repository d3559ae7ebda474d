"""Each example, with the wheel and its lowest dependencies, under mocks: seconds, no cluster."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.library import examples
from tests.library.conftest import CLONE, Environment

RUN = Path(__file__).parent / "inside" / "run_program.py"
SETTINGS = {
    "existing-database-and-bucket": {
        "databaseUri": "postgresql+psycopg2://user:password@db.example:5432/mlflow",
        "usersDatabaseUri": "postgresql+psycopg2://user:password@db.example:5432/users",
        "bucket": "bucket",
        "accessKeyId": "key",
        "secretAccessKey": "secret",
    }
}
PROVIDER = CLONE / "provider" / "__main__.py"
WRONG = """\
from pulumi_mlflow_kubernetes import Postgres, PostgresArgs

args: PostgresArgs = {"storagee": "2Gi"}
Postgres("database", args)
"""


@pytest.fixture(scope="module", params=examples.IN_PYTHON)
def example(
    request: pytest.FixtureRequest, outside: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    """An example's name, and the resources and outputs of one run of it."""
    name: str = request.param
    folder = examples.copy(name, tmp_path_factory.mktemp("examples"))
    settings = [f"{key}={value}" for key, value in SETTINGS.get(name, {}).items()]
    answer = outside.run(RUN, *settings, folder=folder)
    return name, json.loads(answer.splitlines()[-1])


def test_an_example_makes_servers_that_clients_find(example: tuple[str, dict[str, Any]]) -> None:
    name, found = example
    servers = [key for key in found["resources"] if ":TrackingServer " in key]
    uris = {value for key, value in found["exports"].items() if key.endswith("tracking_uri")}
    namespaces = examples.NAMESPACES[name]
    assert len(servers) == len(namespaces)
    assert uris == {f"http://{namespace}.local" for namespace in namespaces}
    logins = [value for key, value in found["exports"].items() if key.endswith("client_env")]
    assert {login["MLFLOW_TRACKING_URI"] for login in logins} == uris


def test_an_example_keeps_to_its_own_namespaces_and_host_names(
    example: tuple[str, dict[str, Any]],
) -> None:
    """So that all examples may be up at once."""
    name, found = example
    objects = [
        inputs
        for kind, inputs in found["resources"].values()
        if kind.startswith("kubernetes:")
        and kind != "kubernetes:core/v1:Namespace"
        # Objects that a program reads have no inputs.
        and "metadata" in inputs
    ]
    assert {one["metadata"]["namespace"] for one in objects} == set(examples.NAMESPACES[name])
    rules = [rule for one in objects if one["kind"] == "Ingress" for rule in one["spec"]["rules"]]
    assert rules
    for rule in rules:
        assert rule["host"].removesuffix(".local").split(".")[-1] in examples.NAMESPACES[name]


def test_the_type_checker_reads_the_wheel_and_finds_nothing_but_a_misspelt_input(
    outside: Environment, tmp_path: Path
) -> None:
    for name in examples.IN_PYTHON:
        program = (examples.FOLDER / name / "__main__.py").read_text()
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(program)
    (tmp_path / "provider.py").write_text(PROVIDER.read_text())
    (tmp_path / "wrong.py").write_text(WRONG)
    mypy = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={outside.python}"]
    checked = sorted(path.name for path in tmp_path.glob("*.py"))
    done = subprocess.run(
        [*mypy, *checked], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert re.findall(r"^(\S+?):\d+: error: (.*?)  \[", done.stdout, re.MULTILINE) == [
        ("wrong.py", 'Extra key "storagee" for TypedDict "PostgresArgs"')
    ]


def test_the_smallest_program_of_the_page_makes_all_three_servers(
    outside: Environment, tmp_path: Path
) -> None:
    page = (examples.FOLDER / "README.md").read_text()
    (tmp_path / "__main__.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    made = json.loads(outside.run(RUN, folder=tmp_path).splitlines()[-1])["resources"]
    kinds = [kind for kind, _ in made.values()]
    assert kinds.count("kubernetes:apps/v1:StatefulSet") == 2
    assert kinds.count("kubernetes:apps/v1:Deployment") == 1


def test_every_example_has_a_page_and_is_listed() -> None:
    listed = (examples.FOLDER / "README.md").read_text()
    for name in examples.EXAMPLES:
        assert (examples.FOLDER / name / "README.md").read_text().startswith("# ")
        assert f"]({name}/)" in listed
