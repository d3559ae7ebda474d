"""The messages of `make env`, beside its exports."""

import os

import pytest

from commands import env
from commands.support import stack
from commands.support.cluster import UsersCluster
from tests.unit.commands.conftest import Program


@pytest.mark.parametrize(("context", "told"), [("office", True), ("minikube", False)])
def test_a_context_that_the_stack_file_does_not_name_is_told(
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    context: str,
    told: bool,
) -> None:
    program("pulumi", "exit 0")
    cluster = UsersCluster(context, {"PATH": os.environ["PATH"], "KUBECONFIG": "/copy"})
    monkeypatch.setattr(stack, "find", lambda _: cluster)
    env.command()
    shown = capsys.readouterr()
    assert "export KUBECONFIG='/copy'" in shown.out.splitlines()
    assert shown.err.startswith("`pulumi up` fails in this shell: ") == told
    assert shown.err.count("\n") == told
