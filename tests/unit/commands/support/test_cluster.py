"""Which cluster is chosen, with fake programs on PATH. Not proved: that a real one is usable."""

import os
import stat
import sys
from pathlib import Path

import pytest
import yaml

import lab
from commands.support import cluster
from commands.support.cluster import UsersCluster
from commands.support.console import CommandError
from commands.support.lab_cluster import LabCluster
from lab import paths, tools
from tests.unit.commands.conftest import Program


def _kubectl(program: Program, *contexts: str, reachable: bool = True) -> None:
    names = " ".join(contexts)
    program(
        "kubectl",
        f"""case "$*" in
          *get-contexts*) for name in {names}; do echo $name; done ;;
          *--raw=/version*) {"exit 0" if reachable else "echo 'no route to host' >&2; exit 1"} ;;
          *"config view --minify --flatten --context="*) cat <<-END
		clusters: [{{name: there, cluster: {{server: https://192.0.2.1}}}}]
		contexts: [{{name: "${{*##*=}}", context: {{cluster: there, user: me}}}}]
		current-context: "${{*##*=}}"
		END
            ;;
          *) exit 9 ;;
        esac""",
    )


@pytest.fixture
def lab_possible(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("apt-get", "exit 0")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tools, "program", Path("/nowhere").joinpath)


@pytest.fixture
def lab_impossible(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    del program
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("lab_possible")
def test_a_minikube_that_answers_is_used(program: Program) -> None:
    _kubectl(program, "office", "minikube")
    program("pulumi", "exit 0")
    found = cluster.find()
    assert isinstance(found, UsersCluster)
    assert found.context == "minikube"


@pytest.mark.usefixtures("lab_possible")
def test_without_any_program_the_lab_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    found = cluster.find()
    assert isinstance(found, LabCluster)
    assert found.environment["PATH"].split(os.pathsep)[0] == str(paths.BIN)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("lab_possible")
def test_the_first_start_finds_what_it_builds_as_every_later_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told where the plugins are before they are there: `make up` is one process."""
    first = cluster.find().environment
    monkeypatch.setattr(tools, "program", lambda _: Path("/bin/sh"))
    monkeypatch.setattr(lab, "prepare", lambda: None)
    assert cluster.find().environment == first


@pytest.mark.usefixtures("lab_possible")
def test_a_minikube_that_does_not_answer_is_mentioned(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    _kubectl(program, "minikube", reachable=False)
    program("pulumi", "exit 0")
    assert isinstance(cluster.find(), LabCluster)
    told = capsys.readouterr().err
    assert "does not answer: no route to host" in told
    assert told.count("\n") == 1


@pytest.mark.usefixtures("lab_possible")
def test_a_minikube_without_the_pulumi_cli_is_mentioned(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    _kubectl(program, "minikube")
    assert isinstance(cluster.find(), LabCluster)
    assert "Pulumi CLI is not on PATH" in capsys.readouterr().err


@pytest.mark.usefixtures("lab_impossible")
def test_with_nothing_to_use_one_line_says_what_is_missing() -> None:
    with pytest.raises(CommandError) as failure:
        cluster.find()
    text = str(failure.value)
    assert "kubectl is not on PATH" in text
    assert "takes root on Debian" in text
    assert "minikube start" in text
    assert "\n" not in text


def test_a_named_context_must_exist(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT", "office")
    _kubectl(program, "minikube")
    with pytest.raises(CommandError, match="no context office"):
        cluster.find()


def test_a_named_context_must_answer(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT", "office")
    _kubectl(program, "office", reachable=False)
    with pytest.raises(CommandError, match="office does not answer"):
        cluster.find()


def test_a_named_context_takes_the_official_cli(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXT", "office")
    _kubectl(program, "office")
    with pytest.raises(CommandError, match="Pulumi CLI is not on PATH"):
        cluster.find()


def test_a_named_context_is_copied_under_its_own_name_and_nothing_beside_it(
    program: Program, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    name = "arn:aws:eks:1/office"
    monkeypatch.setenv("CONTEXT", name)
    _kubectl(program, name)
    program("pulumi", "exit 0")
    found = cluster.find()
    copy = Path(found.environment["KUBECONFIG"])
    assert copy.is_relative_to(home / "state")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert yaml.safe_load(copy.read_text()) == {
        "clusters": [{"name": "there", "cluster": {"server": "https://192.0.2.1"}}],
        "contexts": [{"name": name, "context": {"cluster": "there", "user": "me"}}],
        "current-context": name,
    }


def test_a_stack_file_may_ask_for_a_context(program: Program) -> None:
    _kubectl(program, "office", "minikube")
    program("pulumi", "exit 0")
    assert cluster.find("office").context == "office"


def test_a_shell_that_evaluated_make_env_goes_on_with_the_same_cluster(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXT", "a/b")
    _kubectl(program, "a/b")
    program("pulumi", "exit 0")
    first = cluster.find()
    monkeypatch.delenv("CONTEXT")
    monkeypatch.setenv("KUBECONFIG", first.environment["KUBECONFIG"])
    again = cluster.find()
    assert (again.context, again.folder) == ("a/b", first.folder)


def test_a_context_that_is_not_there_leaves_nothing_behind(
    program: Program, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("CONTEXT", "office")
    _kubectl(program, "minikube")
    with pytest.raises(CommandError):
        cluster.find()
    assert not (home / "state/mlflow-kubernetes/contexts").exists()


def test_two_contexts_share_no_state(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    _kubectl(program, "one", "two")
    program("pulumi", "exit 0")
    folders: set[Path] = set()
    for name in ("one", "two"):
        monkeypatch.setenv("CONTEXT", name)
        folders.add(cluster.find().folder)
    assert len(folders) == 2


@pytest.mark.usefixtures("lab_possible")
def test_what_make_env_exports_for_the_lab_is_not_taken_for_the_users(
    program: Program, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    program("kubectl", 'test -z "$KUBECONFIG" || echo minikube')
    program("pulumi", "exit 0")
    users_path = os.environ["PATH"]
    for name, value in lab.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{home}/state/mlflow-kubernetes/lab/pulumi")
    own = cluster._users_own(os.environ)
    assert own["PATH"] == users_path
    assert not own.keys() & {"KUBECONFIG", "PULUMI_HOME", "PULUMI_BACKEND_URL"}
    found = cluster.find()
    assert isinstance(found, LabCluster)
    assert found.environment["PATH"].split(os.pathsep).count(str(paths.BIN)) == 1
    assert "PULUMI_BACKEND_URL" not in found.environment
