"""The way from settings to components: refused values, and mistakes that the type checker finds."""

import re
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

import wiring
from settings.load import load
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


WIRING = ROOT / "wiring.py"
STORES = sorted((ROOT / "artifact_stores").glob("[!_]*.py"))
MISTAKES = {
    # what is wrong: the file, what is right there, what replaces it, and what mypy says
    "misspelt": (
        *(WIRING, '"image": settings.mysql_image', '"imagee": settings.mysql_image'),
        'Extra key "imagee" for TypedDict "MysqlArgs"',
    ),
    "missing": (
        *(WIRING, '        "backend_store": database', '        # "backend_store": database'),
        'Missing key "backend_store" for TypedDict "TrackingServerArgs"',
    ),
    "mistaken_component": (
        *(WIRING, '"artifact_store": artifacts', '"artifact_store": database'),
        'TypedDict item "artifact_store" has type',
    ),
    **{
        f"misspelt_in_{file.stem}": (
            *(file, '"retention": ', '"retentoin": '),
            'Extra key "retentoin" for TypedDict',
        )
        for file in STORES
    },
    **{
        f"list_for_a_string_in_{file.stem}": (
            *(file, "around.place.namespace", "[around.place.namespace]"),
            'TypedDict item "namespace" has type',
        )
        for file in STORES
    },
}


@pytest.fixture(scope="module")
def found_by_mypy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what mypy reports of a file with one mistake, by the mistake."""
    folder = tmp_path_factory.mktemp("mistakes")
    for mistake, (file, right, wrong, _) in MISTAKES.items():
        text = file.read_text()
        assert right in text
        (folder / f"{mistake}.py").write_text(text.replace(right, wrong))
    # Without mistake: what mypy reports is then due to the mistake.
    for file in (WIRING, *STORES):
        (folder / f"right_{file.name}").write_text(file.read_text())
    command = [sys.executable, "-m", "mypy", *map(str, sorted(folder.glob("*.py")))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for mistake, text in re.findall(r"(\w+)\.py:\d+: error: (.*)", done.stdout):
        found[mistake] = found.get(mistake, "") + text
    return found


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_type_checker_finds_a_mistake_in_the_wiring(
    found_by_mypy: dict[str, str], mistake: str
) -> None:
    assert not [one for one in found_by_mypy if one.startswith("right_")]
    assert MISTAKES[mistake][-1] in found_by_mypy[mistake]
