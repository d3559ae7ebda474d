"""The repository's layout: CONTRIBUTING.md names every folder, and a path that is named exists."""

import re
import subprocess
from pathlib import Path

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
