"""The blocks of the documents, run as they are, for each user that they create."""

import secrets
from collections.abc import Mapping

import pytest

from harness import clients
from harness.stack import Stack
from tests.documents import block
from tests.e2e.support.document_reader import Reader

CLIENT_ENV = block("README.md, Point a client at it, 1")
CLIENT = block("README.md, Point a client at it, 2")
GRANT = block("docs/users.md, Give a user access, 1")
LAST_RUN = "python harness/client_scripts/last_run.py"


@pytest.fixture(scope="module")
def reader(stack: Stack, machine: clients.Machine) -> Reader:
    return Reader(stack, machine)


@pytest.fixture(scope="module")
def users(reader: Reader) -> Mapping[str, str]:
    """Two users who did all that README says; their shells' environments, by their names."""
    names = [f"{name}-{secrets.token_hex(3)}" for name in ("alice", "bob")]
    return {name: reader.add_user(name) for name in names}


def test_the_admins_first_run_is_logged(reader: Reader) -> None:
    report = reader.report(f"{CLIENT_ENV}{CLIENT}{LAST_RUN}", admin=True)
    assert report["experiment"] == "Default"
    assert report["metrics"] == {"hello": 1}
    assert report["in Default"] >= 1


@pytest.mark.parametrize("command", ["env", "client-env"])
def test_what_a_shell_evaluates_comes_without_another_word(reader: Reader, command: str) -> None:
    said = reader.run(f"make -s {command}", admin=True)
    assert said.stderr == ""
    assert all(line.startswith("export ") for line in said.stdout.splitlines())


def test_each_user_lands_in_an_experiment_of_their_own(
    reader: Reader, users: Mapping[str, str]
) -> None:
    for name, exports in users.items():
        report = reader.report(f"{exports}{CLIENT}{LAST_RUN}")
        assert report["experiment"] == name
        assert report["metrics"] == {"hello": 1}
        # Nobody reads what the admin logged.
        assert report["in Default"] == 0


def test_a_user_without_an_experiment_is_told_what_to_do(
    reader: Reader, users: Mapping[str, str]
) -> None:
    exports = next(iter(users.values()))
    script = f"{exports}unset MLFLOW_EXPERIMENT_NAME\n{CLIENT.rstrip()} || true"
    said = reader.run(script).stderr
    assert "PERMISSION_DENIED" in said
    assert "MLFLOW_EXPERIMENT_NAME" in said.splitlines()[-1]


def test_a_user_who_is_let_in_reads_and_nobody_else_does(
    reader: Reader, users: Mapping[str, str]
) -> None:
    (alice, hers), (bob, his) = users.items()
    experiment = reader.report(f"{hers}{CLIENT}{LAST_RUN}")["experiment_id"]
    read = f"python -c 'import mlflow; print(mlflow.get_experiment(\"{experiment}\").name)'"
    assert "PERMISSION_DENIED" in reader.run(f"{his}{read} || true").stderr
    program = GRANT.replace('"bob"', f'"{bob}"').replace('"1"', f'"{experiment}"')
    reader.run(f"{hers}python - <<'END'\n{program}END")
    assert reader.run(f"{his}{read}").stdout.splitlines()[-1] == alice


def test_a_job_says_what_it_did_without_a_warning(stack: Stack) -> None:
    said = stack.kubectl("logs", "job/mlflow-migration", "--all-containers")
    assert "user admin made" in said
    assert "Warning" not in said
