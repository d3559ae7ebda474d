"""The registry of patches has every private part that the server's package replaces or uses."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "mlflow"))

from mlflow_kubernetes.patches import registry

CLONE = Path(__file__).parents[3]
IMAGE = CLONE / "images" / "mlflow"
PACKAGE = IMAGE / "mlflow_kubernetes"
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): ast.parse(
        path.read_text()
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}
REGISTERED = {
    module: {re.sub("[:#]", ".", target) for target in {**patch.replaces, **patch.uses}}
    for module, patch in registry.PATCHES.items()
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def imported(value: ast.expr | None) -> str | None:
    """Return the module that an expression imports by its name."""
    text = ast.unparse(value) if value else ""
    call = re.fullmatch(r"importlib\.import_module\('([\w.]+)'\)", text)
    return call[1] if call else None


def names_of_others(tree: ast.Module) -> dict[str, set[str]]:
    """Return what each expression of a module stands for: modules, and names in modules."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                name = one.name if one.asname else one.name.partition(".")[0]
                found[one.asname or name] = {name}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                found[one.asname or one.name] = {f"{node.module}.{one.name}"}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and (late := imported(node.value)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {ast.unparse(target): {late} for target in targets}
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
            values = [found.get(ast.unparse(one), set()) for one in node.iter.elts]
            if all(values):
                found[ast.unparse(node.target)] = set[str]().union(*values)
    return found


def resolved(node: ast.expr, names: dict[str, set[str]]) -> set[str]:
    """Return the full names of an expression such as `module.function`; none for its own."""
    parts = ast.unparse(node).split(".")
    for length in range(len(parts) - 1, 0, -1):
        if bases := names.get(".".join(parts[:length])):
            return {".".join([base, *parts[length:]]) for base in bases}
    return set()


def assigned(node: ast.AST) -> Iterator[ast.expr]:
    """Return what a statement writes to; of an item, what has the item."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = [
            one
            for target in node.targets
            for one in (target.elts if isinstance(target, ast.Tuple) else [target])
        ]
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        targets = [node.target]
    for written in targets:
        target = written
        while isinstance(target, ast.Subscript):
            target = target.value
        if isinstance(target, ast.Attribute):
            yield target


def own_names() -> set[str]:
    """Return every name that the package itself defines."""
    found: set[str] = set()
    for tree in MODULES.values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and ast.unparse(node.value) == "self"
            ):
                found.add(node.attr)
    return found


OWN = own_names()


def parts_of_others(tree: ast.Module) -> set[str]:
    """Return the names outside of the package that a module writes to, and the private ones.

    A private name of an object whose class the source does not tell begins with a question mark.
    """
    names = names_of_others(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        for target in assigned(node):
            found |= resolved(target, names)
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{one.name}" for one in node.names if is_private(one.name)}
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            full = resolved(node, names)
            unknown = ast.unparse(node.value) not in ("self", "cls") and node.attr not in OWN
            found |= full or ({f"?.{node.attr}"} if unknown else set())
    ours = ("mlflow_kubernetes", *sys.stdlib_module_names)
    return {name for name in found if name.partition(".")[0] not in ours}


@pytest.mark.parametrize("module", MODULES)
def test_every_part_of_another_package_that_a_module_touches_is_registered(module: str) -> None:
    registered = REGISTERED.get(module, set())
    missing = {
        name
        for name in parts_of_others(MODULES[module])
        if not any(
            one.endswith(name[1:]) if name.startswith("?") else f"{name}.".startswith(f"{one}.")
            for one in registered
        )
    }
    assert not missing, f"add to patches/registry.py, under {module!r}"


def test_the_search_finds_each_way_to_reach_into_another_package() -> None:
    tree = ast.parse(
        "import a.b\n"
        "from c import d, _e\n"
        "from f import g as h\n"
        "late: object = importlib.import_module('i.j')\n"
        "a.b.x = 1\n"
        "d.y[0] |= 1\n"
        "h._z()\n"
        "late.w = 1\n"
        "for each in (d, h):\n"
        "    each.v = 1\n"
        "self.one._two()\n"
    )
    assert parts_of_others(tree) == {
        *("a.b.x", "c._e", "c.d.y", "f.g._z", "i.j.w", "c.d.v", "f.g.v", "?._two"),
    }


def test_nothing_is_registered_that_no_module_touches() -> None:
    for module, targets in REGISTERED.items():
        text = ast.unparse(MODULES[module])
        for target in targets:
            assert re.search(rf"\b{target.rpartition('.')[2]}\b", text), (module, target)


def test_every_patch_says_why_and_names_a_test_that_exists() -> None:
    tests = "".join(path.read_text() for path in (CLONE / "tests").rglob("*.py"))
    for module, patch in registry.PATCHES.items():
        assert patch.why.endswith("."), module
        assert f"def {patch.test}(" in tests, (module, patch.test)
        for one in patch.upstream.split(", "):
            assert re.fullmatch(rf"mlflow/mlflow#\d+|{registry.NONE_REPORTED}", one), module


def test_the_registry_was_made_for_the_versions_in_the_image() -> None:
    pins = dict(
        line.split("==")
        for line in (IMAGE / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    assert {name: pins[name] for name in registry.MADE_FOR} == registry.MADE_FOR
    packages = {
        target.partition(":")[0].partition(".")[0]
        for patch in registry.PATCHES.values()
        for target in {**patch.replaces, **patch.uses}
    }
    assert registry.MADE_FOR.keys() == packages
