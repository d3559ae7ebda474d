"""The audit log's lines, and what they take from a request."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "mlflow"))

from mlflow_kubernetes.audit import lines, objects, reading

KEYS = objects.keys("/api/2.0/mlflow/runs/create")


def line(**changed: Any) -> bytes:
    known: dict[str, Any] = {
        "event": "runs/create",
        "user": "alice",
        "source": "192.0.2.7",
        "method": "POST",
        "route": "/api/2.0/mlflow/runs/create",
        "named": {"experiment_id": "1"},
        "status": 200,
        "milliseconds": 1.26,
    }
    return lines.line(**{**known, **changed})


def test_a_line_is_one_json_object() -> None:
    told = line()
    assert told.endswith(b"}\n")
    assert told.startswith(b'{"log": "audit", "time": "20')
    found = json.loads(told)
    del found["time"]
    assert found == {
        "log": "audit",
        "event": "runs/create",
        "user": "alice",
        "source": "192.0.2.7",
        "method": "POST",
        "route": "/api/2.0/mlflow/runs/create",
        "object": {"experiment_id": "1"},
        "status": 200,
        "ms": 1.3,
    }


@pytest.mark.parametrize(
    "value",
    [
        "a" * 5000,
        "\U0001f600" * 5000,
        "\ud800" * 5000,
        "\n\0\u2028" * 2000,
        10**4000,
        ["b" * 900] * 10,
    ],
)
def test_no_line_is_longer_than_what_a_pipe_takes_at_once(value: Any) -> None:
    for number in (1, 70):
        named = {f"name_{count}": value for count in range(number)}
        told = line(named=named, user="u" * 5000, source="s" * 5000, method="M" * 5000)
        assert len(told) <= lines.MOST
        assert told.count(b"\n") == 1
        json.loads(told)
    assert json.loads(line(named={"name": "a" * 300}))["object"] == {"name": "a" * 200 + "..."}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"run_id": "a", "value": "secret", "key": "k"}', {"run_id": "a", "key": "k"}),
        (' {"runId" : "a" , "isAdmin":true}', {"run_id": "a", "is_admin": True}),
        ('{"name": "a", "name": "b"}', {"name": "b"}),
        ('{"name": {"name": "no name"}, "trace": {"trace_id": "t"}}', {"trace_id": "t"}),
        ('{"tags": [{"key": "k"}], "version": 3}', {"version": 3}),
        (json.dumps('{"run_id": "a"}'), {"run_id": "a"}),
        ("{'run_id': 'a'}", {}),
        ('{"run_id": NaN, "name": 1.5, "status": null}', {}),
        ('["run_id"]', {}),
        ("[" * 16000, {}),
        ('{"name": ' + "9" * 16000 + "}", {}),
        ("", {}),
        ("\0\x01", {}),
    ],
)
def test_names_are_taken_from_a_body(body: str, found: dict[str, Any]) -> None:
    # Flask reads all of these encodings.
    for encoding in ("utf-8", "utf-16-le", "utf-32-be"):
        sent = body.encode(encoding)
        assert objects.in_body(sent, b"application/json", KEYS, cut=False) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"run_id": "a", "name": "b', {"run_id": "a"}),
        ('{"run_id": "a", "role_id": 12', {"run_id": "a"}),
        (' { "metrics" : [{"key": "k"}] , "runId" : "a" , "na', {"run_id": "a"}),
        ('{"run_id": "a", "metrics": [{"key": "k"', {"run_id": "a"}),
        ('{"name": ' + "[" * 16000, {}),
        ('{"name": ' + "9" * 16000, {}),
        ('{"run_id" "a", "name": "b",', {}),
        ('{1: "a", "name": "b",', {}),
        ('["run_id", ', {}),
        ("", {}),
    ],
)
def test_names_are_taken_from_the_begin_of_a_body(body: str, found: dict[str, Any]) -> None:
    assert objects.in_body(body.encode(), b"", KEYS, cut=True) == found


def test_a_long_list_is_shortened() -> None:
    ids = [str(number) for number in range(25)]
    found = objects.in_body(json.dumps({"trace_ids": ids}).encode(), b"", KEYS, cut=False)
    assert found == {"trace_ids": [*ids[:10], "and 15 more"]}


def test_a_form_gives_no_more_than_names() -> None:
    form = b"application/x-www-form-urlencoded; charset=utf-8"
    assert objects.in_body(b"username=a&password=b", form, KEYS, cut=False) == {"username": "a"}
    assert objects.in_query(b"name=a%20b&token=c") == {"name": "a b"}
    assert objects.in_query(b"") == {}


def test_files_and_what_goes_to_a_provider_are_not_searched() -> None:
    for template in (
        "/api/2.0/mlflow-artifacts/artifacts/{artifact_path}",
        "/ajax-api/2.0/mlflow/upload-artifact",
    ):
        assert objects.keys(template) == {}
        found = objects.in_body(b'{"name": "a"}', b"", objects.keys(template), cut=False)
        assert found == {}
    gateway = objects.keys("/gateway/mlflow/v1/chat/completions")
    chat = b'{"model": "a", "key": "b"}'
    assert objects.in_body(chat, b"", gateway, cut=False) == {"model": "a"}
    assert objects.in_path({"endpoint_name": "a", "path": "v1/secret"}) == {"endpoint_name": "a"}


def test_no_name_of_a_secret_is_taken() -> None:
    suspicious = ("password", "secret_value", "auth_config", "api_key", "token", "value", "url")
    assert not set(suspicious) & KEYS.keys()


@pytest.mark.parametrize(
    ("method", "template", "reads"),
    [
        ("GET", "/api/2.0/mlflow/runs/get", True),
        ("POST", "/api/2.0/mlflow/runs/search", True),
        ("POST", "/ajax-api/2.0/mlflow/runs/search", True),
        ("POST", "/api/4.0/mlflow/runs/search", False),
        ("PUT", "/api/2.0/mlflow/runs/search", False),
        ("POST", "/graphql", True),
        ("GET", "/ajax-api/3.0/mlflow/assistant/sessions/{session_id}/stream", False),
        ("POST", "/api/2.0/mlflow/runs/create", False),
    ],
)
def test_a_route_that_is_not_known_to_read_does_not(
    method: str, template: str, reads: bool
) -> None:
    assert reading.reads(method, template) == reads
    assert reads or not reading.surely_reads(method, template)
