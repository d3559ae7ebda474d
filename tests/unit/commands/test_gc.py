"""`make gc`: what it asks of the stack's CronJob. tests/e2e runs it on every store."""

import json
from typing import Any

import pytest

from commands import gc
from commands.support import stack
from commands.support.cluster import UsersCluster
from commands.support.console import CommandError
from tests.unit.commands.conftest import Program

CRON_JOB: dict[str, Any] = {
    "metadata": {"name": "mlflow-gc", "labels": {"app.kubernetes.io/part-of": "mlflow"}},
    "spec": {
        "suspend": True,
        "jobTemplate": {
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": {"containers": [{"args": ["--older-than=30d"]}]}},
            }
        },
    },
}
# Answers as kubectl, and notes what is created.
KUBECTL = """
case "$*" in
  *"get cronjob"*) cat {folder}/cronjob ;;
  *create*) cat > {folder}/created ;;
  *"get job "*) cat {folder}/status ;;
  *logs*) echo "removed with their files: 1 runs" ;;
  *delete*) echo "$*" > {folder}/deleted ;;
  *) echo '{{"items": []}}' ;;
esac
"""


@pytest.mark.parametrize(
    ("older_than", "experiments", "arguments"),
    [
        ("", "", []),
        ("12h", "", ["--older-than=12h"]),
        ("", "a,b c", ["--older-than=0s", "--experiment=a", "--experiment=b c"]),
        ("1d", "7", ["--older-than=1d", "--experiment=7"]),
    ],
)
def test_arguments_follow_the_variables(
    older_than: str, experiments: str, arguments: list[str]
) -> None:
    assert gc.wanted(older_than, experiments) == arguments


@pytest.mark.parametrize("age", ["30", "1h1d", "-1d", "d"])
def test_a_wrong_age_is_refused(age: str) -> None:
    with pytest.raises(CommandError, match=rf"OLDER_THAN={age}: accepted: days, hours"):
        gc.wanted(age, "")


@pytest.mark.parametrize("end", ["Complete", "Failed"])
def test_what_the_job_said_is_printed_and_the_job_removed(
    end: str, program: Program, tmp_path: Any, monkeypatch: Any, capsys: Any
) -> None:
    (tmp_path / "cronjob").write_text(json.dumps(CRON_JOB))
    conditions = [{"type": f"{end}", "status": "True"}]
    (tmp_path / "status").write_text(json.dumps({"status": {"conditions": conditions}}))
    program("kubectl", KUBECTL.format(folder=tmp_path))
    monkeypatch.setenv("EXPERIMENTS", "old")
    found = stack.Stack("minikube", UsersCluster("ctx", {"PATH": str(tmp_path / "bin")}))
    monkeypatch.setattr(stack, "chosen", lambda: found)
    monkeypatch.setattr(stack.Stack, "exists", lambda _: True)
    if end == "Failed":
        with pytest.raises(CommandError, match="the collection failed, as told above"):
            gc.command()
    else:
        gc.command()
    assert capsys.readouterr().out == "removed with their files: 1 runs\n"
    created = json.loads((tmp_path / "created").read_text())
    (container,) = created["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--older-than=0s", "--experiment=old"]
    assert created["metadata"]["name"] in (tmp_path / "deleted").read_text()
