"""The documents: every block is run or left out for a reason; links and file names exist.

The end-to-end tests test_documents.py and test_workspace.py run the blocks that take a stack.
"""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from tests.documents import NOT_RUN, ROOT, RUN, block, blocks
from tests.unit.recorder import CERTIFICATE, run_stack

HERE = "tests/unit/test_documents.py"
# What a user types when asked, or has in the file that is named.
ASKED = {
    "databaseUri": "postgresql+psycopg2://user:password@host:5432/database",
    "authDatabaseUri": "postgresql+psycopg2://user:password@host:5432/database",
    "s3SecretAccessKey": "chosen-by-somebody",
    "backupSecretAccessKey": "chosen-by-somebody",
    "s3Ca": CERTIFICATE,
    "egressCa": CERTIFICATE,
}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")])
CURRENT = [file for file in DOCUMENTS if file.name != "CHANGELOG.md"]
"""The documents that speak of the files of today."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Without what a build makes, and without folders of which only Python's caches are left.
FOLDERS = {
    entry.name
    for entry in ROOT.iterdir()
    if entry.name[0] not in "._"
    and entry.name not in ("build", "dist")
    and any(file.is_file() and file.suffix != ".pyc" for file in entry.rglob("*"))
}
SET = re.compile(r"^pulumi config set (?:--secret )?mlflow:(\w+) ?(.*?)--stack minikube", re.M)


def test_every_block_is_run_or_left_out_for_a_reason() -> None:
    named = sorted([*RUN, *NOT_RUN])
    assert named == sorted(blocks()), "tests/documents.py names every block of the documents, once"


def test_whoever_runs_a_block_takes_it_from_its_document() -> None:
    forgotten = [
        name for name, file in RUN.items() if file != HERE and name not in (ROOT / file).read_text()
    ]
    assert forgotten == []


@pytest.mark.parametrize("name", [name for name, file in RUN.items() if file == HERE])
def test_settings_of_the_documents_are_accepted(name: str) -> None:
    found = {key: shlex.split(value) for key, value in SET.findall(block(name))}
    # Every line that sets something was understood.
    assert len(found) == block(name).count("pulumi config set")
    chosen = {key: value[0] if value else ASKED[key] for key, value in found.items()}
    secret = re.findall(r"--secret mlflow:(\w+)", block(name))
    run_stack(*secret, **chosen)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_relative_link_and_anchor_resolves(document: Path) -> None:
    broken = []
    for link in LINK.findall(_without_code(document.read_text())):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue  # a page of the internet
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", CURRENT, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_that_is_named_exists(document: Path) -> None:
    named = [
        path
        for path in re.findall(r"`([\w./-]+)`", document.read_text())
        if path.partition("/")[0] in FOLDERS or re.fullmatch(r"[\w/]+\.(py|md)", path)
    ]
    missing = [
        path
        for path in named
        if not any(place.exists() for place in (ROOT / path, document.parent / path))
        # A file without its folder, such as `s3.py`.
        and not any(ROOT.glob(f"[!.]*/**/{path}"))
    ]
    assert missing == []


def test_the_architecture_has_a_row_for_every_folder() -> None:
    table = (ROOT / "docs/architecture.md").read_text().partition("## What is in each folder")[2]
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", table.partition("\n## ")[0], re.M)
    named = {path.partition("/")[0] for row in rows for path in re.findall("`([^`]+)`", row)}
    assert named >= FOLDERS


def _without_code(text: str) -> str:
    """Return a document without its blocks and without code within a line."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def _anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document.

    Source: https://docs.github.com/en/get-started/writing-on-github (section links).
    """
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.M):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors
