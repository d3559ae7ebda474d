"""The repository's layout: CONTRIBUTING.md names every folder, and a path that is named exists.

And what the functions in components/ leave alone: the arguments that they receive.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.support.console import CLONE

FILES = [
    Path(name)
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CLONE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if (CLONE / name).exists()
]
FOLDERS = {folder.as_posix() for file in FILES for folder in file.parents}
# A path of a file or of a folder; not a part of an address, and not a pattern.
NAMED = re.compile(
    r"(?<![\w/.-])((?:bench|commands|docs|harness|lab|tests)/[\w./-]*\w)(?![\w/*<{-])"
)

# Methods that change a list, a dict or a set.
CHANGING = {
    *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove"),
    *("reverse", "setdefault", "sort", "update"),
}


def test_contributing_names_every_folder() -> None:
    text = (CLONE / "CONTRIBUTING.md").read_text()
    named = {folder.rstrip("/") for folder in re.findall(r"`([\w/]+/)`", text)}
    first = {folder for folder in FOLDERS if "/" not in folder and not folder.startswith(".")}
    tests = {
        folder for folder in FOLDERS if re.fullmatch(r"tests/(?!e2e)\w+|tests/e2e/\w+", folder)
    }
    assert first - named <= {"tests"}
    assert tests - named == set()


def test_every_path_that_a_document_or_a_comment_names_exists() -> None:
    there = {file.as_posix() for file in FILES} | FOLDERS
    read = [
        file for file in FILES if file.suffix in (".md", ".py") and "tests/unit" not in str(file)
    ]
    lost = {
        f"{file}: {path}"
        for file in read
        for path in NAMED.findall((CLONE / file).read_text())
        if path not in there and f"{path}.py" not in there
    }
    assert lost == set()


def test_no_component_changes_an_argument() -> None:
    """A container or a list that two callers share would change for both."""
    found = {
        f"{file}:{line}"
        for file in FILES
        if file.parts[0] == "components" and file.suffix == ".py"
        for line in changed_arguments((CLONE / file).read_text())
    }
    assert found == set()


def test_a_changed_argument_is_found() -> None:
    changes = [
        *("pod.spec = 1", "pod['a'].b = 1", "pod.x += 1", "del pod['a']", "pod.a, b = 1, 2"),
        *("pod.env.append(1)", "pods += [1]", "for one in pods: one.env = 1"),
        *("for i, one in enumerate([*pods, pod]): one['a'] = i", "setattr(pod, 'a', 1)"),
    ]
    for change in changes:
        assert [*changed_arguments(f"def f(pod, *, pods):\n  {change}")] == [2], change
    for harmless in ("pod = 1", "own = [*pods]; own.append(1)", "self.pod = pod", "pod.update"):
        assert [*changed_arguments(f"def f(self, pod, *, pods):\n  {harmless}")] == [], harmless


def changed_arguments(source: str) -> Iterator[int]:
    """Yield each line on which a function changes an argument, or an element of one in a loop."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = function.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            received = {argument.arg for argument in every} - {"self", "cls"}
            for node in ast.walk(function):
                if isinstance(node, ast.For) and received & names(node.iter):
                    received |= names(node.target)
            for node in ast.walk(function):
                if any(root(changed) in received for changed in changed_by(node)):
                    yield node.lineno


def changed_by(node: Any) -> Iterator[ast.expr]:
    """Yield what a statement or a call changes in place."""
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete):
        one = isinstance(node, ast.AnnAssign | ast.AugAssign)
        for target in [node.target] if one else node.targets:
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from (part for part in parts if not isinstance(part, ast.Name))
            # `+=` changes a list in place.
            if isinstance(node, ast.AugAssign):
                yield target
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in CHANGING:
            yield called.value
        if isinstance(called, ast.Name) and called.id == "setattr":
            yield node.args[0]


def names(node: ast.AST) -> set[str]:
    """Return the names in an expression."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def root(node: ast.expr) -> str | None:
    """Return the name that an expression such as ``pod.spec["a"]`` begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
