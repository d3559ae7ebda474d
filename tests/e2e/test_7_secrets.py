"""Secrets that the program generates stay secret, wherever people, programs or files could look."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import processes
from tests.e2e.stack import Stack

# Four numbers up to 255; a version such as 3.17.2 has three.
ADDRESS = re.compile(
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
)
# Every machine's own addresses: they name no machine.
OWN = {"127.0.0.1", "0.0.0.0"}  # noqa: S104 (searched for)


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> dict[str, str]:
    found = stack.generated_secrets()
    assert sorted(found) == [
        "minio-root-password",
        "minio-server-key",
        f"{stack.database.name}-password",
        stack.database.superuser,
    ]
    assert all(len(secret) >= 32 for secret in found.values())
    return found


def forms(secret: str) -> Iterator[str]:
    """Return a secret as it is, and as base64 shows it at any place of a longer text."""
    yield secret
    for before in range(3):
        encoded = base64.b64encode(b"?" * before + secret.encode()).decode()
        # The first and last characters hold bits of the neighbours.
        yield encoded[4 if before else 0 : len(encoded) - 4]


def found_in(text: str, secrets: dict[str, str]) -> list[str]:
    """Return the names of the secrets that a text gives away."""
    return [name for name, secret in secrets.items() if any(form in text for form in forms(secret))]


def everything_but_secrets(stack: Stack) -> str:
    """Return all objects of the namespace, whole, but Secrets, whose job it is to hold them."""
    kinds = stack.kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name").split()
    others = ",".join(kind for kind in kinds if kind != "secrets")
    return stack.kubectl("get", others, "--output=yaml", "--show-managed-fields", seconds=120)


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


def test_search_finds_what_is_there(stack: Stack, secrets: dict[str, str]) -> None:
    kept = stack.kubectl("get", "secrets", "--output=yaml")
    assert sorted(found_in(kept, secrets)) == sorted(secrets)
    password = f"{stack.database.name}-password"
    uri = base64.b64encode(f"postgresql://me:{secrets[password]}@host".encode()).decode()
    assert found_in(uri, secrets) == [password]


def test_state_files_give_nothing_away(stack: Stack, secrets: dict[str, str]) -> None:
    assert stack.state_files
    for file in stack.state_files:
        assert found_in(file.read_bytes().decode(errors="replace"), secrets) == [], file
        assert stack.passphrase not in file.read_bytes().decode(errors="replace"), file


def test_output_of_pulumi_gives_nothing_away(stack: Stack, secrets: dict[str, str]) -> None:
    stack.change("preview", "--diff")
    stack.said.append(stack.pulumi("stack", "--stack", "minikube", "--show-urns").stdout)
    assert len(stack.said) >= 3
    assert found_in("".join(stack.said), secrets) == []


def test_objects_and_events_give_nothing_away(stack: Stack, secrets: dict[str, str]) -> None:
    objects = everything_but_secrets(stack)
    assert all(f"kind: {kind}" in objects for kind in ("Pod", "Event", "ConfigMap", "Deployment"))
    assert found_in(objects, secrets) == []


def test_logs_give_nothing_away(stack: Stack, secrets: dict[str, str]) -> None:
    said = logs(stack)
    assert len(said) >= 5
    for name, text in said.items():
        assert text, f"{name} said nothing"
        assert found_in(text, secrets) == [], name


def test_command_lines_give_nothing_away(stack: Stack, secrets: dict[str, str]) -> None:
    for app in (stack.database.name, "minio", "mlflow"):
        inside = processes.visible_of_pod(stack.kubectl.pod(app))
        lines = [processes.command_line(process) for process in inside]
        assert any(lines)
        assert found_in("\n".join(lines), secrets) == [], app


def texts(value: Any) -> Iterator[str]:
    """Return every text in a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


def test_no_ip_address_no_secret_in_clear_anywhere(stack: Stack, secrets: dict[str, str]) -> None:
    host = f"{stack.database.name}.{stack.namespace}.svc"
    rendered = {
        resource["urn"].rpartition("::")[2]: resource["inputs"]
        for resource in stack.resources()
        if resource["type"].startswith("kubernetes:")
    }
    # What the program asked for, not what the cluster added: a Service's address is the cluster's.
    for name, inputs in rendered.items():
        addresses = {found for text in texts(inputs) for found in ADDRESS.findall(text)}
        assert addresses <= OWN, f"{name} has an IP address pasted in"
        assert found_in(json.dumps(inputs), secrets) == [], name
    assert ADDRESS.findall("host=10.96.0.17 port=5432") == ["10.96.0.17"]

    credentials = stack.kubectl.json("get", "secret", f"{stack.database.name}-credentials")["data"]
    uri = base64.b64decode(credentials["MLFLOW_BACKEND_STORE_URI"]).decode()
    assert f"@{host}:{stack.database.port}/" in uri

    for file in stack.state_files:
        content = file.read_bytes().decode(errors="replace")
        assert found_in(content, {**secrets, "uri": uri}) == [], file
