"""Generated secrets are in no place where other people or programs can read them."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from harness.stack import Stack
from tests.e2e.support import secret_search
from tests.e2e.support.secret_search import found_in

# Four numbers up to 255; a version such as 3.17.2 has three.
ADDRESS = re.compile(
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
)
# Every machine's own addresses, and the begins of networks that are private or link-local: none of
# these names a machine.
OWN = {
    *("127.0.0.1", "0.0.0.0", "127.0.0.0"),  # noqa: S104 (searched for)
    *("10.0.0.0", "169.254.0.0", "172.16.0.0", "192.168.0.0"),
}


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> dict[str, str]:
    return secret_search.of(stack)


def test_search_finds_a_secret_in_any_guise() -> None:
    secrets = {"one": "p@ss/wörd+&%", "other": "not-there-at-all"}
    shown = 'log: "p@ss/w\\u00f6rd+&%"'
    for text in (
        "x p@ss/wörd+&% y",
        shown,
        quote(secrets["one"], safe=""),
        "p%40ss%2Fw%C3%B6rd%2B%26%25",
    ):
        assert found_in(f"...{text}...", secrets) == ["one"]
        for before in ("", "a", "ab"):
            encoded = base64.b64encode(f"{before}{text} and more".encode()).decode()
            assert found_in(f"data: {encoded}", secrets) == ["one"]


def test_at_least_twenty_secrets_are_looked_for() -> None:
    assert (
        sum(
            len(secret_search.OF[part]) for parts in secret_search.STACKS.values() for part in parts
        )
        >= 20
    )


def test_secrets_are_kept(stack: Stack) -> None:
    stack.change("refresh", "--diff")
    stack.change("preview", "--diff")
    stack.said.append(stack.pulumi("stack", "--stack", "minikube", "--show-urns").stdout)
    secret_search.assert_kept(stack)


def test_command_lines_are_searched(stack: Stack) -> None:
    assert "mlflow_kubernetes.server.supervise" in secret_search.elsewhere(stack)["command lines"]


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
