"""The way from settings to components: refused values, and mistakes that the type checker finds."""

import re
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

import wiring
from settings import load
from tests.unit.recorder import ROOT, record, settings


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
            wiring.cluster(load())
        except pulumi.RunError as error:
            said.append(str(error))

    record(program, {**settings(), "kubernetes:context": context})
    return said


@pytest.fixture(scope="module")
def found_by_mypy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what mypy reports of wiring.py with one mistake each, by the mistake."""
    folder = tmp_path_factory.mktemp("mistakes")
    text = (ROOT / "wiring.py").read_text()
    for mistake, (right, wrong) in MISTAKES.items():
        assert right in text
        (folder / f"{mistake}.py").write_text(text.replace(right, wrong))
    # Without mistake: what mypy reports is then due to the mistake.
    (folder / "none.py").write_text(text)
    command = [sys.executable, "-m", "mypy", *map(str, sorted(folder.glob("*.py")))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for mistake, text in re.findall(r"(\w+)\.py:\d+: error: (.*)", done.stdout):
        found[mistake] = found.get(mistake, "") + text
    return found


MISTAKES = {
    "misspelt": ('"image": settings.mysql_image', '"imagee": settings.mysql_image'),
    "list_for_a_string": (
        '"host": settings.artifact_host',
        '"host": [settings.artifact_host]',
    ),
    "missing": ('        "backend_store": database', '        # "backend_store": database'),
    "mistaken_component": ('"artifact_store": artifacts', '"artifact_store": database'),
}


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("misspelt", 'Extra key "imagee" for TypedDict "MysqlArgs"'),
        ("list_for_a_string", 'TypedDict item "host" has type "str"'),
        ("missing", 'Missing key "backend_store" for TypedDict "TrackingServerArgs"'),
        ("mistaken_component", 'TypedDict item "artifact_store" has type'),
    ],
)
def test_the_type_checker_finds_a_mistake_in_the_wiring(
    found_by_mypy: dict[str, str], mistake: str, says: str
) -> None:
    assert "none" not in found_by_mypy
    assert says in found_by_mypy[mistake]
