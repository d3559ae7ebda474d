"""The blocks of the documents that a reader copies: which tests run them, and why others are not.

A block is named by its file, its heading, and its number below that heading.
"""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = "```"

RUN = {
    "README.md, Point a client at it, 1": "tests/e2e/shared_stack/test_documents.py",
    "README.md, Point a client at it, 2": "tests/e2e/shared_stack/test_documents.py",
    "README.md, Log in and add users, 1": "tests/e2e/support/document_reader.py",
    "README.md, Traces from any OpenTelemetry exporter, 1": "tests/e2e/support/otlp_exporter.py",
    "README.md, Work in the cluster, 1": "tests/e2e/own_stack/test_workspace.py",
    "README.md, Change a setting, 1": "tests/unit/test_documents.py",
    "docs/backup.md, Backups, 1": "tests/unit/test_documents.py",
    "docs/backup.md, Where backups are kept, 1": "tests/unit/test_documents.py",
    "docs/backup.md, Any moment, on PostgreSQL, 1": "tests/unit/test_documents.py",
    "docs/high-availability.md, Several members of the database, 1": "tests/unit/test_documents.py",
    "docs/high-availability.md, Several servers of MinIO, 1": "tests/unit/test_documents.py",
    "docs/settings.md, Sizes, 1": "tests/unit/test_documents.py",
    "docs/settings.md, An autoscaler, 1": "tests/unit/test_documents.py",
    "docs/settings.md, Remove deleted data for good, 1": "tests/unit/test_documents.py",
    "docs/settings.md, An existing database, 1": "tests/unit/test_documents.py",
    "docs/settings.md, An existing bucket, 1": "tests/unit/test_documents.py",
    "docs/settings.md, An existing HDFS, 1": "tests/unit/test_documents.py",
    "docs/settings.md, HTTPS, 1": "tests/unit/test_documents.py",
    "docs/settings.md, A Gateway instead of Ingresses, 1": "tests/unit/test_documents.py",
    "docs/settings.md, Webhooks, model providers and proxies, 1": "tests/unit/test_documents.py",
    "docs/settings.md, Webhooks, model providers and proxies, 2": "tests/unit/test_documents.py",
    "docs/settings.md, What platforms demand of pods, 1": "tests/unit/test_documents.py",
    "docs/settings.md, What platforms demand of pods, 2": "tests/unit/test_documents.py",
    "docs/settings.md, What platforms demand of pods, 3": "tests/unit/test_documents.py",
    "docs/settings.md, What platforms demand of pods, 4": "tests/unit/test_documents.py",
    "docs/users.md, Give a user access, 1": "tests/e2e/shared_stack/test_documents.py",
    "docs/moving-data.md, PostgreSQL's next major version, 1": "tests/unit/test_documents.py",
    "docs/moving-data.md, 2. The database, 1": "tests/e2e/own_stack/test_moving_data.py",
    "docs/moving-data.md, 3. The artifacts, 1": "tests/e2e/own_stack/test_moving_data.py",
    "docs/moving-data.md, 3. The artifacts, 2": "tests/e2e/own_stack/test_moving_data.py",
    "docs/restore.md, The drill, 1": "tests/e2e/own_stack/test_restore_drill.py",
    "docs/restore.md, The drill, 2": "tests/e2e/own_stack/test_restore_drill.py",
    "docs/restore.md, The drill, 3": "tests/e2e/own_stack/test_restore_drill.py",
    "docs/restore.md, The drill, 4": "tests/e2e/own_stack/test_restore_drill.py",
    "docs/rotation.md, Rotate passwords and keys, 2": "tests/unit/test_documents.py",
    "docs/troubleshooting.md, Replace a password, 1": "tests/e2e/support/database_password.py",
    "docs/troubleshooting.md, Replace a password, 2": "tests/e2e/support/database_password.py",
}
"""The file of the test that runs a block, by the block's name."""
NOT_RUN = {
    "README.md, MLflow tracking on Kubernetes, 1": "a drawing",
    "README.md, Deploy, 1": "`make test` cannot run itself; its fixtures are `make up`'s own",
    "README.md, Work in the cluster, 2": "there is no Docker daemon; the lab builds that file",
    "README.md, By hand, on minikube, 1": "its Pulumi commands are those of harness/stack.py",
    "docs/backup.md, The passphrase, 1": "prints an output, which harness/stack.py reads too",
    "docs/architecture.md, The code, 1": "a drawing",
    "docs/audit.md, Audit log, 1": "tests/e2e/shared_stack/test_login.py asks for the same lines",
    "docs/audit.md, Audit log, 2": "a line of a log",
    "docs/architecture.md, Who talks to whom, 1": "a drawing",
    "docs/architecture.md, Passwords and keys, 1": "a drawing",
    "docs/upgrading.md, Upgrade this project, 1": "changes the clone",
    "docs/upgrading.md, Go back, 1": "tests/e2e/own_stack/test_failed_upgrade.py goes these steps",
    "docs/rotation.md, Rotate passwords and keys, 1": "tests/unit/commands/test_rotate.py has it",
    "lab/README.md, The lab, 1": "the lab that it starts is where the tests run",
    "docs/ingress.md, Traefik in the place of ingress-nginx, 1": "arguments, which the lab's has",
    "docs/settings.md, An existing database, 2": "takes the block above it",
    "docs/restore.md, Into a stack, 1": "tests/unit/commands/test_restore.py has its forms",
    "docs/restore.md, To a moment, 1": "tests/unit/commands/test_restore.py has its form",
    "docs/restore.md, The drill, 5": "stops the lab in which the tests run",
    "docs/moving-data.md, PostgreSQL's next major version, 2": (
        "tests/e2e/own_stack/test_postgres_upgrade.py calls the commands' own function"
    ),
    "docs/moving-data.md, 1. A second stack, 1": "a second stack by `make up`: minutes",
    "docs/high-availability.md, Watch, 1": "tests/e2e/support/members.py asks the same",
    **dict.fromkeys(
        (
            "docs/high-availability.md, Make another member the primary, 1",
            "docs/high-availability.md, Replace a member, 1",
        ),
        "tests/e2e/own_stack/test_database_replicas.py does it for whichever member it is",
    ),
    "docs/high-availability.md, Replace a server of MinIO, 1": (
        "tests/e2e/own_stack/test_artifact_replicas.py does it for other servers"
    ),
    "docs/high-availability.md, A member that does not catch up, 1": (
        "it takes 512 MB of writes while a member is away"
    ),
    **dict.fromkeys(
        (
            "docs/high-availability.md, The record is lost, 1",
            "docs/high-availability.md, The record is lost, 2",
        ),
        "the record is lost when somebody deletes it while no member runs: not tried",
    ),
}
"""Why no test runs a block, by the block's name."""


def blocks() -> dict[str, str]:
    """Return every block of the documents, by its name."""
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "lab" / "README.md"]
    found: dict[str, str] = {}
    for document in sorted(documents):
        file = document.relative_to(ROOT).as_posix()
        found |= {f"{file}, {name}": text for name, text in _blocks(document.read_text()).items()}
    return found


def block(name: str) -> str:
    """Return one block, as a reader copies it."""
    return blocks()[name]


def _blocks(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: Counter[str] = Counter()
    heading, inside = "", False
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(_FENCE):
            if inside:
                seen[heading] += 1
                found[f"{heading}, {seen[heading]}"] = "\n".join(lines) + "\n"
            inside, lines = not inside, []
        elif inside:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    return found
