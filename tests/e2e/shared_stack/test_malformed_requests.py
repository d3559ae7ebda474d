"""No malformed request is answered by a 5xx, or shows internals of the server."""

import json
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies as st

from harness.stack import Stack
from tests.e2e.support.malformed_requests import NUL, VALUES, Api, problem


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        yield Api(stack, port)


@pytest.mark.parametrize("path", ["runs/log-parameter", "runs/set-tag"])
def test_a_nul_byte_is_refused_in_one_line(api: Api, path: str) -> None:
    (field,) = [one for one in api.fields if one.path.endswith(path) and one.name == ("value",)]
    status, said = api.send(field, NUL)
    assert status == 400
    told = json.loads(said)
    assert told["error_code"] == "INVALID_PARAMETER_VALUE"
    assert told["message"] == (
        r"A text of 'value' has the character U+0000, which no database keeps: 'a\x00b'. "
        "Accepted: any other character"
    )


def test_a_nul_byte_is_refused_in_every_field_of_every_call(api: Api) -> None:
    texts = [field for field in api.fields if field.text]
    assert len(texts) > 200
    found = {str(field): problem(api.send(field, NUL)) for field in texts}
    assert {field: said for field, said in found.items() if said} == {}


@hypothesis.settings(max_examples=600, derandomize=True, deadline=None, database=None)
@hypothesis.given(data=st.data())
def test_no_value_of_any_field_is_an_error_of_the_servers(api: Api, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(api.fields))
    assert problem(api.send(field, data.draw(VALUES))) == ""


BODIES = ["", "[]", "1", '"a"', "{", '{"a": "\\ud800"}', '{"a":' * 3000 + "1" + "}" * 3000, "NaN"]


@pytest.mark.parametrize(
    "path",
    [
        *("/api/2.0/mlflow/runs/create", "/api/2.0/mlflow/users/create", "/graphql", "/v1/traces"),
        *("/api/3.0/mlflow/roles/create", "/ajax-api/3.0/mlflow/mcp-servers"),
        *("/ajax-api/3.0/jobs/search", "/gateway/mlflow/v1/chat/completions"),
        *("/ajax-api/3.0/mlflow/scorer/invoke", "/ajax-api/2.0/mlflow/upload-artifact"),
    ],
)
def test_no_body_is_an_error_of_the_servers(api: Api, path: str) -> None:
    bodies = [*BODIES, json.dumps({"query": "'", "username": NUL, "password": NUL, "name": NUL})]
    found = [
        problem(api.ask("POST", path, body, {"X-Mlflow-Experiment-Id": "0"})) for body in bodies
    ]
    assert found == [""] * len(bodies)


@pytest.mark.parametrize(
    "header",
    [
        *("Host", "Origin", "Authorization", "Content-Type", "Content-Encoding", "User-Agent"),
        *("X-Mlflow-Experiment-Id", "X-Mlflow-Run-Id", "X-Mlflow-Workspace", "Range"),
    ],
)
@pytest.mark.parametrize(
    "value", [b"\xff", b"\xed\xa0\x80", b"", b"9" * 30, b"Basic AAAA", b"[::1"]
)
def test_no_header_is_an_error_of_the_servers(api: Api, header: str, value: bytes) -> None:
    calls = [
        ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", None),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/none", None),
        ("POST", "/v1/traces", "{}"),
    ]
    assert [problem(api.ask(*call, {header: value})) for call in calls] == [""] * len(calls)
