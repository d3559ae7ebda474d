"""The way from settings to components: what of it is refused, and what the type checker finds."""

from pathlib import Path

import pulumi
import pytest

import wiring
from settings import Settings
from tests.unit.recorder import record, settings


@pytest.mark.parametrize(
    ("context", "refused"), [("minikube", True), ("office", False), ("home", False)]
)
def test_a_context_that_the_kubeconfig_lacks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: str, refused: bool
) -> None:
    files = [tmp_path / "one", tmp_path / "missing", tmp_path / "two"]
    files[0].write_text("contexts: [{name: office}]")
    files[2].write_text("contexts: [{name: home}]")
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    accepted = "a context of the kubeconfig, 'office' or 'home'"
    line = f"kubernetes:context: 'minikube'; accepted: {accepted}"
    assert _refused(context) == ([line] if refused else [])


@pytest.mark.parametrize("content", ["", "contexts: 1", "{", "contexts: [office]", "\0"])
def test_a_kubeconfig_that_cannot_be_read_is_left_to_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "kubeconfig").write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    assert _refused("minikube") == []
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    assert _refused("minikube") == []


def _refused(context: str) -> list[str]:
    """Return what is refused of a place with this context."""
    said: list[str] = []

    def program() -> None:
        try:
            wiring.place(Settings.load())
        except pulumi.RunError as error:
            said.append(str(error))

    record(program, {**settings(), "kubernetes:context": context})
    return said
