"""The secrets of a stack, and every place where other people or programs could read them."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from components._login import fernet_key
from harness import pod_processes
from harness.stack import Stack
from harness.waiting import wait_until

# The secrets that each part of a stack brings along, by what the program or a test calls them.
OF = {
    "any": {
        *(
            "passphrase",
            "backup-passphrase",
            "mlflow-admin-password",
            "mlflow-page-key",
            "mlflow-passphrase",
        ),
        *("mlflow-webhook-key", "key of webhooks"),
    },
    "postgres": {"postgres-password", "postgres-superuser-password"},
    "mysql": {"mysql-password", "mysql-root-password"},
    "external": {"external-database-salt", "database password", "wrong password"},
    "egress": {"mlflow-egress-salt"},
    "minio": {"minio-root-password", "minio-server-key"},
    "hdfs": set[str](),
    "s3": {"s3-salt", "bucket key"},
    "tls": {"ingress-seed", "private key"},
    "workspace": {"workspace-token", "mlflow-workspace-password"},
}
# Whose secrets are looked for: each stack has values of its own.
STACKS = {
    "mlflow-e2e": ("any", "postgres", "minio"),
    "mlflow-e2e-mysql-minio": ("any", "mysql", "minio"),
    "mlflow-e2e-postgres-hdfs": ("any", "postgres", "hdfs"),
    "mlflow-e2e-mysql-hdfs": ("any", "mysql", "hdfs"),
    "mlflow-e2e-external": ("any", "external", "s3", "egress"),
    "mlflow-e2e-tls": ("any", "postgres", "minio", "tls"),
    "mlflow-e2e-workspace": ("any", "postgres", "hdfs", "workspace"),
}
# The passphrase opens what others hold encrypted; a password that was refused is kept by nobody.
_NEVER_KEPT = {"passphrase", "wrong password"}


def expected(stack: Stack) -> set[str]:
    """Return what the secrets of a stack are called."""
    parts = (
        stack.database.name if part in ("postgres", "mysql") else part
        for part in STACKS[stack.namespace]
    )
    return {name for part in parts for name in OF[part]}


def of(stack: Stack, **chosen: str) -> dict[str, str]:
    """Return the secrets of a stack that is up; ``chosen`` are those that the test made up."""
    named = {name.replace("_", " "): secret for name, secret in chosen.items()}
    generated = stack.generated_secrets()
    # What the server reads is computed from what was generated.
    derived = {"key of webhooks": fernet_key(generated["mlflow-webhook-key"])}
    found = {**generated, **derived, "passphrase": stack.passphrase, **named}
    assert set(found) == expected(stack)
    assert all(len(secret) >= 16 for secret in found.values())
    return found


def forms(secret: str) -> Iterator[str]:
    """Return a secret as it is, as texts in JSON and URLs have it, and each of these in base64."""
    for plain in {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)}:
        yield plain
        # As base64 shows it at any place of a longer text.
        for before in range(3):
            encoded = base64.b64encode(b"?" * before + plain.encode()).decode()
            # The first and last characters hold bits of the neighbours.
            yield encoded[4 if before else 0 : len(encoded) - 4]


def found_in(text: str, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that a text gives away."""
    return [name for name, secret in secrets.items() if any(form in text for form in forms(secret))]


def where_they_belong(stack: Stack) -> str:
    """Return what holds the secrets: Secrets, and settings and state for whoever may decrypt it."""
    configuration = stack.pulumi("config", "--stack", "minikube", "--show-secrets", "--json")
    state = json.dumps(stack.resources("--show-secrets"))
    return "".join([stack.kubectl("get", "secrets", "--output=yaml"), configuration.stdout, state])


def elsewhere(stack: Stack) -> dict[str, str]:
    """Return the texts that may hold none, by where they are."""
    found = {str(file): file.read_bytes().decode(errors="replace") for file in stack.state_files}
    found["what Pulumi printed"] = "".join(stack.said)
    found["objects and events"] = everything_but_secrets(stack)
    if lines := command_lines(stack.kubectl.items("pods")):
        found["command lines"] = "\n".join(lines)
    return found | {f"log of {name}": text for name, text in logs(stack).items()}


def everything_but_secrets(stack: Stack) -> str:
    """Return all objects of the namespace, whole, but Secrets, whose job it is to hold them."""

    def shown() -> str:
        kinds = stack.kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name")
        others = ",".join(kind for kind in kinds.split() if kind != "secrets")
        return stack.kubectl("get", others, "--output=yaml", "--show-managed-fields", seconds=120)

    # A test that runs meanwhile may take a kind away between the two calls of kubectl.
    return wait_until(shown, 60, "every kind is shown", every=1)


def logs(stack: Stack) -> dict[str, str]:
    """Return the logs of every container, also of those before a restart that are still kept."""
    found = {}
    for pod in stack.kubectl.items("pods"):
        name = pod["metadata"]["name"]
        found[name] = stack.kubectl("logs", name, "--all-containers")
        for status in pod["status"]["containerStatuses"]:
            if status["restartCount"]:
                # The kubelet forgets them after a while.
                found[f"{name} before"] = stack.kubectl(
                    *("logs", name, f"--container={status['name']}", "--previous"), check=False
                )
    return found


def command_lines(pods: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the arguments of every process of these pods, where they run on this machine."""
    return [pod_processes.command_line(each) for pod in pods for each in pod_processes.of_pod(pod)]


def assert_kept(stack: Stack, **chosen: str) -> None:
    """Assert that the secrets of a stack that is up are where they belong, and nowhere else."""
    secrets = of(stack, **chosen)
    # The search finds each of them where it is, or it would find nothing anywhere.
    there = set(found_in(where_they_belong(stack), secrets))
    assert there | (_NEVER_KEPT & set(secrets)) == set(secrets)
    places = elsewhere(stack)
    assert all(f"kind: {kind}" in places["objects and events"] for kind in ("Pod", "Event", "Job"))
    assert [name for name, text in places.items() if not text and not name.endswith("before")] == []
    given_away = {name: found_in(text, secrets) for name, text in places.items()}
    assert {name: found for name, found in given_away.items() if found} == {}
    stack.secrets |= secrets


def assert_destroy_gave_nothing_away(stack: Stack) -> None:
    """Assert that what was printed to the end, and what is left of the state, holds no secret."""
    assert stack.secrets, "they were not noted before"
    secrets = {**stack.secrets, "passphrase": stack.passphrase}
    assert found_in("".join(stack.said), secrets) == []
    for file in stack.state_files:
        assert found_in(file.read_bytes().decode(errors="replace"), secrets) == [], file
