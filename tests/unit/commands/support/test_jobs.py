"""Jobs of the stack's CronJobs: what a command changes in them, and what it passes on."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from commands.support.console import CommandError
from commands.support.jobs import Jobs, job_of
from tests.unit.commands.conftest import Program

CRON_JOB: dict[str, Any] = {
    "metadata": {"name": "mlflow-gc", "labels": {"app.kubernetes.io/part-of": "mlflow"}},
    "spec": {
        "suspend": True,
        "jobTemplate": {
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "spec": {
                        "initContainers": [{"name": "fetch"}],
                        "containers": [
                            {"args": ["--older-than=30d"], "env": [{"name": "A", "value": "0"}]}
                        ],
                    }
                },
            }
        },
    },
}
# Answers as kubectl does, of a Job that has ended after its second container.
KUBECTL = """
case "$*" in
  *"get cronjob"*) cat {folder}/cronjob ;;
  *create*) cat > {folder}/created ;;
  *"get job "*) cat {folder}/status ;;
  *"get pods --selector"*) cat {folder}/pods ;;
  *container=fetch*) printf 'found\nnot complete' ;;
  *container=job*) echo done ;;
  *logs*) echo done ;;
  *delete*) echo "$*" > {folder}/deleted ;;
  *) echo '{{"items": []}}' ;;
esac
"""


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    pod = job["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def test_a_job_is_the_cron_jobs_with_its_own_arguments() -> None:
    job = job_of(copy.deepcopy(CRON_JOB), [], {})
    assert job["metadata"]["name"].startswith("mlflow-gc-")
    assert job["metadata"]["labels"] == CRON_JOB["metadata"]["labels"]
    assert containers(job)[-1]["args"] == ["--older-than=30d"]
    assert containers(job)[0] == {"name": "fetch"}
    other = job_of(copy.deepcopy(CRON_JOB), ["--older-than=0s"], {})
    assert containers(other)[-1]["args"] == ["--older-than=0s"]


def test_every_container_gets_the_variables_in_the_place_of_its_own() -> None:
    job = job_of(copy.deepcopy(CRON_JOB), [], {"A": "1", "B": "2"})
    expected = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert [container["env"] for container in containers(job)] == [expected, expected]


def test_lines_of_each_container_are_passed_on_once(program: Program, tmp_path: Path) -> None:
    (tmp_path / "cronjob").write_text(json.dumps(CRON_JOB))
    conditions = [{"type": "Complete", "status": "True"}]
    (tmp_path / "status").write_text(json.dumps({"status": {"conditions": conditions}}))
    ended = {"terminated": {"exitCode": 0}}
    status = {
        "initContainerStatuses": [{"name": "fetch", "state": ended}],
        "containerStatuses": [{"name": "job", "state": ended}],
    }
    pods = {"items": [{"metadata": {"name": "pod"}, "status": status}]}
    (tmp_path / "pods").write_text(json.dumps(pods))
    program("kubectl", KUBECTL.format(folder=tmp_path))
    told: list[str] = []
    jobs = Jobs({"PATH": str(tmp_path / "bin")}, "mlflow", {})
    assert jobs.run("mlflow-gc", tell=told.append) == ("Complete", "done\n")
    assert told == ["found", "done"]
    assert "mlflow-gc-" in (tmp_path / "deleted").read_text()


def test_kubectls_last_line_says_why_it_failed(program: Program, tmp_path: Path) -> None:
    program("kubectl", "echo first >&2; echo no such CronJob >&2; exit 1")
    with pytest.raises(CommandError, match=r"^no such CronJob$"):
        Jobs({"PATH": str(tmp_path / "bin")}, "mlflow", {}).run("mlflow-gc")
