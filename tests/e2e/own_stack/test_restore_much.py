"""A backup of much data, restored into the same stack."""

import time
from collections.abc import Iterator

import pytest

from commands import gc
from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.console import CommandError
from harness import clients
from harness.programs import run
from harness.stack import Stack
from tests.e2e.support.restoring import back_up, bring_back, everything, fill, jobs_of
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    images.provide(cluster, stacks.settings("minikube"))
    with temporary_stack(cluster, tmp_path_factory.mktemp("stack"), "mlflow-restore-same") as stack:
        stack.change("up")
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
    return machine_of(stack, tmp_path_factory.mktemp("home"))


def test_a_stack_goes_back_to_its_backup(stack: Stack, machine: clients.Machine) -> None:
    alice = fill(stack, machine)
    before = everything(stack, machine, alice)
    back_up(stack)
    later = stack.client_env()
    machine.run("training_job.py", "later", "--artifact", "1000", client_env=later, seconds=180)
    after = everything(stack, machine, alice)
    assert after != before
    with pytest.raises(CommandError, match=r"the stack holds data .*OVERWRITE=yes"):
        bring_back(stack)
    assert everything(stack, machine, alice) == after
    seconds = bring_back(stack, overwrite=True)
    print(f"no server ran for {seconds:.0f} s")
    assert everything(stack, machine, alice) == before


def test_100000_metrics_and_1_gb_of_artifacts_are_back_within_two_minutes(
    stack: Stack, machine: clients.Machine
) -> None:
    much = ("100000", "10", "100000000")
    env = stack.client_env()
    experiment = machine.run("log_much.py", *much, client_env=env, seconds=300)
    before = machine.run("read_everything.py", client_env=env, seconds=180)
    back_up(stack)
    delete = f"import mlflow; mlflow.delete_experiment({experiment!r})"
    run([str(clients.VENV / "bin" / "python"), "-c", delete], machine.environment(env), seconds=60)
    arguments = ["--older-than=0s", f"--experiment={experiment}"]
    assert jobs_of(stack).run(gc.CRON_JOB, arguments=arguments)[0] == "Complete"
    began = time.monotonic()
    away = bring_back(stack, overwrite=True)
    took = time.monotonic() - began
    print(f"restored in {took:.0f} s, with a backup of what was there; no server for {away:.0f} s")
    assert machine.run("read_everything.py", client_env=env, seconds=180) == before
    assert took < 120
