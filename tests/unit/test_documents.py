"""The documents' blocks: each is run by a test or left out for a reason, and settings are accepted.

The end-to-end tests test_documents.py and test_workspace.py run the blocks that take a stack.
"""

import re
import shlex

import pytest

from tests.documents import NOT_RUN, ROOT, RUN, block, blocks
from tests.unit.recorder import CERTIFICATE, run_stack

HERE = "tests/unit/test_documents.py"
# What a user types when asked, or has in the file that is named.
ASKED = {
    "databaseUri": "postgresql+psycopg2://user:password@host:5432/database",
    "authDatabaseUri": "postgresql+psycopg2://user:password@host:5432/database",
    "s3SecretAccessKey": "chosen-by-somebody",
    "s3Ca": CERTIFICATE,
    "egressCa": CERTIFICATE,
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
