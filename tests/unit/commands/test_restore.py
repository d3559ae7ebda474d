"""`make restore`: what it refuses, and in which order servers stop, data comes back, servers start.

tests/e2e restores real backups.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from commands import restore
from commands.support import stack
from commands.support.cluster import UsersCluster
from commands.support.console import CommandError
from tests.unit.commands.conftest import Program

STAMP = "20261127T013000Z"
CRON_JOB: dict[str, Any] = {
    "metadata": {"name": "mlflow-restore", "labels": {}, "uid": "1"},
    "spec": {
        "jobTemplate": {
            "spec": {
                "template": {
                    "spec": {
                        "initContainers": [{"name": "fetch"}],
                        "containers": [{"name": "job", "args": ["finish"]}],
                    }
                }
            }
        }
    },
}
# Answers as kubectl, and notes what changes. The first Job looks; the others restore or back up.
KUBECTL = """
case "$*" in
  *"get cronjob"*) cat {folder}/cronjob ;;
  *create*) cat > {folder}/job; echo job >> {folder}/done; cat {folder}/job >> {folder}/jobs
    echo >> {folder}/jobs ;;
  *"get job "*) case "$(cat {folder}/job)" in
      *'"look"'*) cat {folder}/complete ;;
      *) cat {folder}/status ;;
    esac ;;
  *"get jobs"*) cat {folder}/others ;;
  *"get pods --selector=batch"*) cat {folder}/pods ;;
  *"get pods"*) ;;
  *"get deployment"*) echo '{{"spec": {{"replicas": 2}}}}' ;;
  *logs*) case "$(cat {folder}/job)" in
      *'"look"'*) echo {stamp} ;;
      *) cat {folder}/said ;;
    esac ;;
  *scale*) echo "$*" >> {folder}/done ;;
  *rollout*) echo rollout >> {folder}/done ;;
  *delete*) ;;
  *) echo '{{"items": []}}' ;;
esac
"""


@pytest.fixture
def kubectl(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster on which a Job succeeds unless a test says otherwise; return its folder."""
    (tmp_path / "cronjob").write_text(json.dumps(CRON_JOB))
    complete = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    for name in ("complete", "status"):
        (tmp_path / name).write_text(json.dumps(complete))
    (tmp_path / "others").write_text('{"items": []}')
    (tmp_path / "said").write_text("compared\n")
    ended = [{"name": "job", "state": {"terminated": {}}}]
    pod = {"metadata": {"name": "pod"}, "status": {"containerStatuses": ended}}
    (tmp_path / "pods").write_text(json.dumps({"items": [pod]}))
    program("kubectl", KUBECTL.format(folder=tmp_path, stamp=STAMP))
    found = stack.Stack("minikube", UsersCluster("ctx", {"PATH": str(tmp_path / "bin")}))
    monkeypatch.setattr(stack, "chosen", lambda: found)
    monkeypatch.setattr(stack.Stack, "exists", lambda _: True)
    for name in ("FROM", "AT", "OVERWRITE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def jobs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "jobs").read_text().splitlines() if line]


def variables(job: dict[str, Any]) -> list[dict[str, str]]:
    """Return the variables of each container, which are the same for all."""
    pod = job["spec"]["template"]["spec"]
    found: list[list[dict[str, str]]] = [
        container["env"] for container in [*pod["initContainers"], *pod["containers"]]
    ]
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize("source", ["yesterday", "20261127", "20261127T013000", "../latest"])
def test_a_wrong_time_is_refused_before_anything_runs(
    source: str, kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM", source)
    with pytest.raises(CommandError, match=f"FROM={source}: accepted: latest, or a time such as"):
        restore.command()
    assert not (kubectl / "jobs").exists()


@pytest.mark.parametrize(
    ("at", "source", "said"),
    [
        ("10:15", "", "AT=10:15: accepted: a moment in UTC such as 2026-11-27T10:15:00Z"),
        ("2026-11-27T10:15:00", "", "accepted: a moment in UTC"),
        ("2026-11-27T10:15:00Z", "latest", "accepted: nothing with FROM=latest"),
        ("2026-11-27T10:15:00Z", "", "set mlflow:backupPointInTime to true"),
    ],
)
def test_a_moment_that_cannot_come_back_is_refused_before_anything_runs(
    at: str, source: str, said: str, kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AT", at)
    monkeypatch.setenv("FROM", source)
    with pytest.raises(CommandError, match=said):
        restore.command()
    assert not (kubectl / "jobs").exists()


def test_a_moment_is_looked_for_and_comes_back(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cron_job = json.loads((kubectl / "cronjob").read_text())
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["initContainers"].append({"name": "recover"})
    (kubectl / "cronjob").write_text(json.dumps(cron_job))
    moment = "2026-11-27T10:15:00.5Z"
    monkeypatch.setenv("AT", moment)
    restore.command()
    look, real = jobs(kubectl)
    assert look["spec"]["template"]["spec"]["containers"][0]["args"] == ["look", moment]
    for job in (look, real):
        assert {"name": "RESTORE_AT", "value": moment} in variables(job)
    assert {"name": "RESTORE_FROM", "value": STAMP} in variables(real)
    assert capsys.readouterr().out.startswith(f"restored the databases of {moment}; no server ran")


def test_only_yes_lets_data_be_replaced() -> None:
    assert restore.agreed("yes")
    assert not restore.agreed("")
    with pytest.raises(CommandError, match="OVERWRITE=true: accepted: yes, or nothing"):
        restore.agreed("true")


def test_without_from_the_backups_are_listed_and_nothing_changes(
    kubectl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    restore.command()
    assert capsys.readouterr().out == f"{STAMP}\n"
    (job,) = jobs(kubectl)
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["look"]
    assert (kubectl / "done").read_text() == "job\n"


def test_servers_are_stopped_while_the_backup_comes_back(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FROM", "latest")
    restore.command()
    scale = "--namespace=mlflow scale deployment mlflow --replicas={}\n".format
    assert (kubectl / "done").read_text() == f"job\n{scale(0)}job\n{scale(2)}rollout\n"
    look, real = jobs(kubectl)
    assert look["spec"]["template"]["spec"]["containers"][0]["args"] == ["look", "latest"]
    assert {"name": "RESTORE_FROM", "value": STAMP} in variables(real)
    assert {"name": "RESTORE_OVERWRITE", "value": ""} in variables(real)
    assert real["spec"]["template"]["spec"]["containers"][0]["args"] == ["finish"]
    said = capsys.readouterr()
    assert said.out.startswith(f"restored backup {STAMP}; no server ran for ")
    assert "  compared\n" in said.err


def test_data_is_backed_up_before_it_is_replaced(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM", STAMP)
    monkeypatch.setenv("OVERWRITE", "yes")
    restore.command()
    look, backup, real = jobs(kubectl)
    assert {"name": "RESTORE_OVERWRITE", "value": "yes"} in variables(look)
    assert {"name": "BACKUP_REASON", "value": "restore"} in variables(backup)
    assert {"name": "RESTORE_OVERWRITE", "value": "yes"} in variables(real)


def test_servers_start_again_after_a_failure_which_is_told_in_one_line(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM", "latest")
    failed = {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    (kubectl / "status").write_text(json.dumps(failed))
    (kubectl / "said").write_text("copying 3 artifacts\nerror: the store is full\n")
    with pytest.raises(CommandError, match=r"^the store is full$"):
        restore.command()
    assert (kubectl / "done").read_text().endswith("--replicas=2\n")


def test_no_restore_runs_beside_another_job_of_the_stack(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM", "latest")
    other = {"metadata": {"name": "mlflow-gc-1"}, "status": {"active": 1}}
    (kubectl / "others").write_text(json.dumps({"items": [other]}))
    with pytest.raises(CommandError, match="Job mlflow-gc-1 is running: wait for its end"):
        restore.command()
    assert "scale" not in (kubectl / "done").read_text()
