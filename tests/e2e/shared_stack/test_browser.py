"""The UI works in a real browser, through the ingress, under the host name that a user types."""

from pathlib import Path

import pytest

from harness import clients
from harness.stack import Stack
from lab import packages
from tests.e2e.support.browser import LATE, look
from tests.e2e.support.users import add_user


@pytest.fixture(scope="module")
def run(stack: Stack, machine: clients.Machine) -> dict[str, str]:
    """A run to look at, and what to look with."""
    packages.need("chromium", "chromium-driver")
    client_env = stack.client_env()
    report = machine.run("training_job.py", "vineyard", client_env=client_env, seconds=120)
    found: dict[str, str] = report
    return found


@pytest.mark.parametrize("page", ["experiments", "runs", "run"])
def test_page_shows_what_was_logged_without_an_error(
    stack: Stack, machine: clients.Machine, run: dict[str, str], tmp_path: Path, page: str
) -> None:
    experiment = f"{stack.outputs()['tracking_uri']}/#/experiments"
    url, *words = {
        "experiments": (experiment, "vineyard"),
        "runs": (f"{experiment}/{run['experiment_id']}/runs", "vineyard", "vineyard-run"),
        "run": (
            f"{experiment}/{run['experiment_id']}/runs/{run['run_id']}",
            "vineyard-run",
            "loss_0",
            "setting_1",
        ),
    }[page]
    seen = look(machine, stack.client_env(), url, tmp_path / f"{page}.png", *words)
    errors = [entry["message"] for entry in seen["console"] if entry["level"] == "SEVERE"]
    assert [message for message in errors if LATE not in message] == []
    assert all(word in seen["text"] for word in words), seen["text"]
    assert "MLflow" in seen["title"]


def test_a_demo_is_offered_to_those_alone_who_may_have_it(
    stack: Stack, machine: clients.Machine, tmp_path: Path
) -> None:
    packages.need("chromium", "chromium-driver")
    url = f"{stack.outputs()['tracking_uri']}/"
    shown = look(machine, stack.client_env(), url, tmp_path / "admin.png", "Start Demo")
    assert "Start Demo" in shown["text"]
    alice = add_user(stack, "alice")
    # The last of the page's sections, so that all of it is there.
    shown = look(machine, alice, url, tmp_path / "alice.png", "Getting Started", "Model Training")
    assert "Model Training" in shown["text"]
    assert "Start Demo" not in shown["text"]
    assert "New to MLflow?" not in shown["text"]
