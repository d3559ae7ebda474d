"""Which module may import which: of commands/, one module imports lab/, and `make up` needs
requirements.txt alone.
"""

import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from commands.support.console import CLONE
from tests.source import imported

DOOR = "commands/support/lab_cluster.py"
PRODUCT = sorted(
    path.relative_to(CLONE).as_posix()
    for pattern in (
        "*.py",
        "artifact_stores/*.py",
        "bench/*.py",
        "commands/**/*.py",
        "components/**/*.py",
        "images/**/*.py",
        "settings/*.py",
    )
    for path in CLONE.glob(pattern)
)
MODULES = [
    name.removesuffix(".py").replace("/", ".")
    for name in PRODUCT
    if name.startswith("commands/") and name != DOOR
]
LAYERS = [
    *("values", "declarations", "buckets", "schema", "artifact_stores"),
    *("assembled", "messages", "rules", "load", "generate"),
]
"""The modules of settings/, and the package artifact_stores: each imports those before it alone."""
# Refuses the packages in its first argument, as if they were not installed; imports the others.
BLOCKER = """
import importlib, sys
refused = set(sys.argv[1].split(","))
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is not one of the program's requirements")
sys.meta_path.insert(0, Refuse())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def test_no_test_module_imports_another() -> None:
    tests = [
        file for folder in ("bench", "harness", "tests") for file in CLONE.glob(f"{folder}/**/*.py")
    ]
    assert any(file.name.startswith("test_") for file in tests)
    found = {
        file.relative_to(CLONE).as_posix(): modules
        for file in tests
        if (modules := re.findall(r"^from (tests\S*\.test_\w+) import", file.read_text(), re.M))
    }
    assert found == {}


def test_the_lab_is_imported_by_one_module_alone() -> None:
    assert [name for name in PRODUCT if "lab" in imported(CLONE / name)] == [DOOR]


def test_the_lab_imports_nothing_of_what_uses_it() -> None:
    ours = {
        "artifact_stores",
        "commands",
        "components",
        "settings",
        "wiring",
        "data_guard",
        "outputs",
        "tests",
        "bench",
        "harness",
    }
    found = {
        path.name: of_others
        for path in CLONE.glob("lab/**/*.py")
        if (of_others := imported(path) & ours)
    }
    assert found == {}


def test_settings_and_artifact_stores_import_lower_layers_alone() -> None:
    """Otherwise an import would succeed or fail by what was imported before."""
    files = [*CLONE.glob("artifact_stores/*.py"), *CLONE.glob("settings/*.py")]
    assert {_layer(file) for file in files} == {*LAYERS, "__init__"}
    found = {
        file.relative_to(CLONE).as_posix(): higher
        for file in files
        if (higher := _layers(file) - {*LAYERS[: _number(file)]} - {_layer(file)})
    }
    assert found == {}


def _layer(file: Path) -> str:
    return file.stem if file.parent.name == "settings" else file.parent.name


def _number(file: Path) -> int:
    """Return how many layers are below that of a module."""
    return 0 if _layer(file) == "__init__" else LAYERS.index(_layer(file))


def _layers(file: Path) -> set[str]:
    """Return the layers that a module imports."""
    found = set[str]()
    for module, names in re.findall(
        r"^from ((?:settings|artifact_stores)[\w.]*) import (.*)", file.read_text(), re.M
    ):
        first, _, second = module.partition(".")
        if first == "artifact_stores":
            found.add(first)
        else:
            found |= {second} if second else {*names.split(", ")}
    return found


def _needed(requirements: Path) -> set[str]:
    """Return the distributions that requirements bring along, by their normal names."""
    left = [
        Requirement(line) for line in requirements.read_text().splitlines() if line[:1] not in "# "
    ]
    found: set[str] = set()
    while left:
        name = _normal(left.pop().name)
        if name not in found:
            found.add(name)
            asked = map(Requirement, distribution(name).requires or [])
            left += [one for one in asked if not one.marker or one.marker.evaluate({"extra": ""})]
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def refused() -> set[str]:
    """The packages installed for checks and for the lab, and the lab and the tests themselves."""
    needed = _needed(CLONE / "requirements.txt")
    others = {
        package
        for package, names in packages_distributions().items()
        if not needed & {_normal(name) for name in names}
    }
    return others | {"lab", "tests"}


def _import(refused: set[str], *modules: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKER, ",".join(sorted(refused)), *modules],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_need_the_programs_requirements_alone(refused: set[str]) -> None:
    assert {"pytest", "mypy", "ruff", "hypothesis"} <= refused
    assert {"commands.up", "commands.support.cluster", "commands.test"} <= {*MODULES}
    done = _import(refused, *MODULES)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_refused_cannot_be_imported(refused: set[str]) -> None:
    done = _import(refused, "commands.support.lab_cluster")
    assert "lab is not one of the program's requirements" in done.stderr


def test_the_lab_needs_the_programs_requirements_alone(refused: set[str]) -> None:
    modules = [
        ".".join(path.relative_to(CLONE).with_suffix("").parts)
        for path in sorted(CLONE.glob("lab/**/*.py"))
        if path.stem != "__main__"
    ]
    assert {"lab.node", "lab.plugins.random"} <= {*modules}
    done = _import(refused - {"lab"}, "commands.support.lab_cluster", *modules)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("target", "installed"),
    [
        *((target, {"requirements.txt"}) for target in ("up", "down", "status", "env")),
        ("check", {"requirements.txt", "requirements-dev.txt"}),
    ],
)
def test_make_installs_what_a_target_needs_and_no_more(target: str, installed: set[str]) -> None:
    make = ["make", "--dry-run", "--always-make", target]
    shown = subprocess.run(make, cwd=CLONE, capture_output=True, text=True, check=True).stdout
    assert {*re.findall(r"--requirement (\S+)", shown)} == installed
