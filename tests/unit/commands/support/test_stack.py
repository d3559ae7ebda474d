"""Where the state and its passphrase are, which stack is chosen, and locks left behind."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from commands.support import stack
from commands.support.cluster import UsersCluster
from commands.support.console import CLONE, CommandError
from settings.assembled import SETTINGS
from tests.unit.commands.conftest import Program


@pytest.fixture
def minikube(home: Path) -> stack.Stack:
    return stack.Stack("minikube", UsersCluster("office", {"PATH": str(home / "bin")}))


def _state(minikube: stack.Stack) -> Path:
    """Return the folder of the state."""
    address = minikube.environment["PULUMI_BACKEND_URL"]
    return Path(address.removeprefix("file://").removesuffix("?metadata=skip"))


def _lock(minikube: stack.Stack, pid: int, hostname: str) -> Path:
    lock = _state(minikube) / ".pulumi/locks/organization/mlflow/minikube/0b5c.json"
    lock.parent.mkdir(parents=True)
    content = {"pid": pid, "hostname": hostname, "timestamp": "2026-01-01T00:00:00Z"}
    lock.write_text(json.dumps(content))
    return lock


def _dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def _fake_pulumi(program: Program, home: Path) -> None:
    program(
        "pulumi",
        f"""echo "$@" >> {home}/calls
        case "$*" in "stack export"*) echo '{{"deployment": {{}}}}' ;; esac""",
    )


def test_the_passphrase_is_private_strong_and_made_once() -> None:
    file = stack.passphrase_file()
    words = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(words.strip()) >= 40
    assert stack.passphrase_file().read_text() == words
    assert [path.name for path in file.parent.iterdir()] == ["passphrase"]


def test_the_state_is_kept_outside_the_clone_and_asks_nothing(
    minikube: stack.Stack, home: Path
) -> None:
    environment, folder = minikube.environment, _state(minikube)
    assert folder.is_dir()
    assert folder.is_relative_to(home / "state/mlflow-kubernetes")
    assert Path(environment["PULUMI_CONFIG_PASSPHRASE_FILE"]) == stack.passphrase_file()


def test_a_state_is_read_without_the_attributes_that_a_killed_pulumi_left_empty(
    minikube: stack.Stack,
) -> None:
    assert minikube.environment["PULUMI_BACKEND_URL"].endswith("?metadata=skip")
    stacks = _state(minikube) / ".pulumi/stacks/mlflow"
    stacks.mkdir(parents=True)
    for name in ("minikube.json", "minikube.json.attrs"):
        (stacks / name).touch()
    assert [file.name for file in _state(minikube).rglob("*.*")] == [".pulumi", "minikube.json"]


@pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
def test_a_backend_and_a_passphrase_of_the_users_win(name: str, home: Path) -> None:
    own = {"PATH": "", "PULUMI_BACKEND_URL": "s3://bucket", name: "theirs"}
    environment = stack.Stack("minikube", UsersCluster("office", own)).environment
    assert {key: environment.get(key) for key in own} == own
    assert not (home / "state/mlflow-kubernetes/passphrase").exists()


def test_a_stack_without_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK", "absent")
    with pytest.raises(CommandError, match=r"STACK=absent: there is no file Pulumi\.absent\.yaml"):
        stack.chosen()


def test_a_stack_that_is_not_up_is_refused_where_it_has_to_be(
    minikube: stack.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "chosen", lambda: minikube)
    monkeypatch.setattr(UsersCluster, "running", lambda _: True)
    monkeypatch.setattr(stack.Stack, "exists", lambda _: False)
    with pytest.raises(CommandError, match=r"nothing is up on .*office.*: `make up` first"):
        stack.running()
    monkeypatch.setattr(stack.Stack, "exists", lambda _: True)
    assert stack.running() == minikube


def test_settings_are_the_stack_files_over_the_projects() -> None:
    own = yaml.safe_load((CLONE / "Pulumi.minikube.yaml").read_text())["config"]
    settings = stack.settings("minikube")
    assert settings.namespace == SETTINGS["namespace"].default
    assert settings.artifact_storage == own["mlflow:artifactStorage"]
    assert settings.ingress_wait_seconds == own["mlflow:ingressWaitSeconds"]
    assert settings.context == stack.context("minikube") == "minikube"


def test_up_leaves_the_clone_alone_and_keeps_the_salt(
    minikube: stack.Stack, home: Path, program: Program
) -> None:
    """The fake writes the salt where the real `stack init` does: beside the project it is given."""
    program(
        "pulumi",
        f"""echo "$@" >> {home}/calls
        case "$*" in
          "stack ls"*) if test -e {home}/made; then echo '[{{"name": "minikube"}}]'
                       else echo '[]'; fi ;;
          "stack export"*) echo '{{"deployment": {{}}}}' ;;
          "stack init"*) : > {home}/made
                         for word in "$@"; do
                           file=$word/Pulumi.minikube.yaml
                           test -e $file && echo 'encryptionsalt: v1:x=' >> $file
                         done
                         exit 0 ;;
        esac""",
    )
    program("kubectl", "exit 1")
    before = (CLONE / "Pulumi.minikube.yaml").read_text()
    minikube.up()
    minikube.up()
    assert (CLONE / "Pulumi.minikube.yaml").read_text() == before
    calls = (home / "calls").read_text().splitlines()
    assert sum(call.startswith("stack init") for call in calls) == 1
    used = Path(calls[-1].partition("--config-file ")[2].partition(" ")[0])
    content = yaml.safe_load(used.read_text())
    expected = yaml.safe_load(before)
    assert expected["config"]["kubernetes:context"] == "minikube"
    expected["config"]["kubernetes:context"] = "office"
    assert content == {"encryptionsalt": "v1:x=", **expected}


@pytest.mark.parametrize(
    ("noted", "backend", "known"),
    [
        ("minikube", {}, ["office", "minikube"]),
        ("office", {}, ["office"]),
        ("minikube", {"PULUMI_BACKEND_URL": "s3://shared"}, ["office"]),
    ],
    ids=["an older stack", "a stack of today", "a state that may be of another cluster"],
)
def test_the_context_in_the_state_is_known_beside_the_users_own(
    home: Path, program: Program, noted: str, backend: dict[str, str], known: list[str]
) -> None:
    provider = {"type": "pulumi:providers:kubernetes", "urn": "u", "inputs": {"context": noted}}
    state = json.dumps({"deployment": {"resources": [provider]}})
    program("pulumi", f"""case "$*" in "stack export"*) echo '{state}' ;; esac""")
    there = {"cluster": "there", "user": "me"}
    content = {"contexts": [{"name": "office", "context": there}], "current-context": "office"}
    kubeconfig = home / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(content))
    environment = {"PATH": str(home / "bin"), "KUBECONFIG": str(kubeconfig), **backend}
    stack.Stack("minikube", UsersCluster("office", environment)).destroy()
    found = yaml.safe_load(kubeconfig.read_text())
    assert found["contexts"] == [{"name": name, "context": there} for name in known]
    assert found["current-context"] == "office"


@pytest.mark.parametrize("labelled", [True, False], ids=["ours", "somebody else's"])
def test_a_namespace_that_a_killed_pulumi_had_made_is_taken_up(
    minikube: stack.Stack, home: Path, program: Program, labelled: bool
) -> None:
    urn = "urn:pulumi:minikube::mlflow::kubernetes:core/v1:Namespace::namespace"
    made = {"urn": urn, "type": "kubernetes:core/v1:Namespace"}
    made["inputs"] = {"metadata": {"name": "ml"}}
    pending = [{"type": "creating", "resource": made}]
    (home / "state").mkdir(exist_ok=True)
    (home / "state/export").write_text(json.dumps({"deployment": {"pending_operations": pending}}))
    program(
        "pulumi",
        f"""echo "$@" >> {home}/calls
        case "$*" in
          "stack ls"*) echo '[{{"name": "minikube"}}]' ;;
          "stack export"*) cat {home}/state/export ;;
        esac""",
    )
    program(
        "kubectl",
        f"""echo $@ >> {home}/asked
        case "$*" in
          *namespaces*) echo {"namespace/ml" if labelled else ""} ;;
          *) echo '{{"items": []}}' ;;
        esac""",
    )
    minikube.up()
    asked = (home / "asked").read_text()
    assert "--field-selector=metadata.name=ml --selector=app.kubernetes.io/part-of=mlflow" in asked
    calls = (home / "calls").read_text().splitlines()
    imports = [call for call in calls if call.startswith("import ")]
    assert len(imports) == labelled
    assert all("kubernetes:core/v1:Namespace namespace ml" in call for call in imports)
    assert calls[-1].startswith("up ")


def test_an_up_that_failed_is_explained(
    minikube: stack.Stack, home: Path, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = Path(__file__).with_name("failures.json").read_text()
    (home / "later").write_text(f'{{"items": {objects}}}')
    (home / "objects").write_text('{"items": []}')
    program(
        "pulumi",
        f"""case "$*" in
          "up "*) cat {home}/later > {home}/objects; exit 1 ;;
          "stack ls"*) echo '[{{"name": "minikube"}}]' ;;
          "stack export"*) echo '{{"deployment": {{}}}}' ;;
        esac""",
    )
    program(
        "kubectl",
        f"""case "$*" in
          *" logs crash "*) echo 'FATAL: could not open the data' ;;
          *" get "*) cat {home}/objects ;;
        esac""",
    )
    with pytest.raises(CommandError, match="`pulumi up` failed, as told above; the same command"):
        minikube.up()
    said = capsys.readouterr().err
    assert "what stands in the way:" in said
    assert (
        "pod crash: container c ended with exit status 3, 4 times by now\n"
        "  | FATAL: could not open the data\n"
        "  to do: correct what its last lines name\n" in said
    )
    # What was so before did not make this one fail at once: a wrong setting does, for instance.
    with pytest.raises(CommandError, match="`pulumi up` failed, as told above"):
        minikube.up()
    assert "stands in the way" not in capsys.readouterr().err


def test_the_lock_of_a_killed_pulumi_is_cancelled(
    minikube: stack.Stack, home: Path, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    _fake_pulumi(program, home)
    _lock(minikube, _dead_pid(), socket.gethostname())
    minikube.destroy()
    calls = (home / "calls").read_text().splitlines()
    assert calls[0].startswith("cancel --yes --stack minikube")
    assert calls[-1].startswith("destroy ")
    assert "left its lock behind" in capsys.readouterr().err


def test_a_number_given_to_another_program_is_no_pulumi(
    minikube: stack.Stack, home: Path, program: Program
) -> None:
    _fake_pulumi(program, home)
    _lock(minikube, os.getpid(), socket.gethostname())
    minikube.destroy()
    assert (home / "calls").read_text().startswith("cancel")


def test_the_lock_of_another_machine_is_left_and_explained(
    minikube: stack.Stack, home: Path, program: Program
) -> None:
    _fake_pulumi(program, home)
    _lock(minikube, 1, "elsewhere")
    with pytest.raises(CommandError, match=r"pid 1 on elsewhere.*`pulumi cancel --stack minikube`"):
        minikube.destroy()
    assert not (home / "calls").exists()


def test_the_lock_of_a_running_pulumi_is_left(
    minikube: stack.Stack, home: Path, program: Program
) -> None:
    _fake_pulumi(program, home)
    sleeper = home / "pulumi"
    sleeper.symlink_to("/bin/sleep")  # the process is known by the name it was started under
    running = subprocess.Popen([str(sleeper), "60"])
    try:
        _lock(minikube, running.pid, socket.gethostname())
        with pytest.raises(CommandError, match="another Pulumi works on this stack"):
            minikube.destroy()
    finally:
        running.kill()
        running.wait()
