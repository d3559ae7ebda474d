"""The audit log of the servers: who did what, in one line each."""

import asyncio
import http.client
import json
import logging
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import PASSWORDS, Server
from mlflow.server.graphql.graphql_schema_extensions import Mutation
from mlflow_kubernetes.audit import layer, lines, objects, reading
from mlflow_kubernetes.audit.routes import Routes
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from werkzeug.routing import Map, Rule

API = "/api/2.0/mlflow"
NEW_API = "/api/3.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
FIELDS = ["log", "time", "event", "user", "source", "method", "route", "object", "status", "ms"]
# A handler whose name has one of these words writes, or makes something.
WRITES = {
    *("abort", "add", "assign", "attach", "cancel", "complete", "create", "delete", "detach"),
    *("finalize", "generate", "grant", "install", "invoke", "link", "log", "patch", "register"),
    *("remove", "rename", "restore", "revoke", "set", "submit", "unassign", "update", "upload"),
    *("upsert", "write"),
}
# Prints every route of the application that the server serves, as the server's workers make it.
LIST_ROUTES = """
import json, os, re
os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
from mlflow_kubernetes.login import basic_auth
basic_auth.configure()
from mlflow_kubernetes.patches import installation
installation.install()
from mlflow.server import app as flask
from mlflow.server.auth import create_app
installation.install_with_login()
native = create_app()
found = [
    (rule.methods, re.sub(r"<(?:\\w+:)?(\\w+)>", r"{\\1}", rule.rule), rule.endpoint)
    for rule in flask.url_map.iter_rules()
]
found += [
    (one.methods, re.sub(r"{(\\w+):\\w+}", r"{\\1}", one.path), one.name)
    for part in native.routes
    if hasattr(part, "effective_route_contexts")
    for one in part.effective_route_contexts()
]
print(json.dumps([(way, *rest) for ways, *rest in found for way in sorted(ways)]))
"""
# The command, without its check that a database answers, which knows no SQLite.
ADD_USER = """
from mlflow_kubernetes import users
users.database.ask = lambda engine: None
users.main()
"""


@contextmanager
def noted(server: Server) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that has the new lines of the audit log at the end."""
    before = len(server.audited())
    found: list[dict[str, Any]] = []
    yield found
    found += server.audited()[before:]


def what(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("event", "user", "object", "status"))


def test_a_line_says_who_did_what(ours_with_login: Server) -> None:
    ask = ours_with_login.ask
    name, password = f"carol-{secrets.token_hex(4)}", secrets.token_hex(16)
    experiment = ours_with_login.experiment("alice")
    with noted(ours_with_login) as found:
        assert (
            ask("POST", f"{API}/users/create", {"username": name, "password": password})[0] == 200
        )
        grant = {"username": "bob", "resource_type": "experiment", "resource_id": experiment}
        grant["permission"] = "READ"
        assert ask("POST", f"{NEW_API}/users/permissions/grant", grant, "alice")[0] == 200
        run = ours_with_login.run(experiment, "alice")["run_id"]
        batch = {"run_id": run, "params": [{"key": "a", "value": "hidden-value"}]}
        assert ask("POST", f"{API}/runs/log-batch", batch, "alice")[0] == 200
        assert ask("POST", f"{API}/runs/log-batch", batch, "bob")[0] == 403
        assert ask("POST", f"{API}/runs/log-batch", batch, "mallory")[0] == 401
        assert (
            ask("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": 1}, "alice")[0] == 400
        )
        tag = {"run_id": "0" * 32, "key": "a", "value": "hidden-value"}
        assert ask("POST", f"{API}/runs/set-tag", tag)[0] == 404
        assert ask("POST", "/ajax-api/2.0/mlflow/runs/delete", {"run_id": run}, "alice")[0] == 200
        whole = {"experiment_id": experiment}
        assert ask("POST", f"{API}/experiments/delete", whole, "alice")[0] == 200
        assert ask("DELETE", f"{API}/users/delete", {"username": name})[0] == 200
        assert ask("DELETE", f"{API}/users/delete?username={name}")[0] == 404
        assert ask("POST", "/nothing/here", {})[0] in (404, 405)
    assert [what(line) for line in found] == [
        ("users/create", "admin", {"username": name}, 200),
        ("users/permissions/grant", "alice", grant, 200),
        ("runs/create", "alice", {"experiment_id": experiment}, 200),
        ("runs/log-batch", "alice", {"run_id": run}, 200),
        ("runs/log-batch", "bob", {"run_id": run}, 403),
        ("runs/log-batch", None, {}, 401),
        ("runs/log-batch", "alice", {"run_id": run}, 400),
        ("runs/set-tag", "admin", {"run_id": "0" * 32, "key": "a"}, 404),
        ("runs/delete", "alice", {"run_id": run}, 200),
        ("experiments/delete", "alice", whole, 200),
        ("users/delete", "admin", {"username": name}, 200),
        ("users/delete", "admin", {"username": name}, 404),
        ("unknown", "admin", {}, found[-1]["status"]),
    ]
    assert all(list(line) == FIELDS for line in found)
    assert {line["source"] for line in found} == {"127.0.0.1"}
    assert (found[0]["method"], found[0]["route"]) == ("POST", f"{API}/users/create")
    assert found[8]["route"] == "/ajax-api/2.0/mlflow/runs/delete"
    assert found[-1]["route"] is None
    for line in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert 0 <= line["ms"] < 30_000
    said = ours_with_login.log.read_text()
    assert [one for one in (password, *PASSWORDS.values(), "hidden-value") if one in said] == []


def test_reads_have_no_line(ours: Server) -> None:
    experiment = ours.experiment()
    with noted(ours) as found:
        asked = {"experiment_ids": [experiment]}
        assert ours.ask("POST", f"{API}/runs/search", asked)[0] == 200
        assert ours.ask("GET", f"{API}/experiments/get?experiment_id={experiment}")[0] == 200
        query = {"operationName": None, "query": "{ __typename }", "variables": {}}
        assert ours.ask("POST", "/graphql", query)[0] == 200
        assert ours.ask("GET", "/")[0] == 200
    assert found == []


def test_a_server_without_a_login_knows_no_user(ours: Server) -> None:
    with noted(ours) as found:
        experiment = ours.experiment()
        run = ours.run(experiment)["run_id"]
        metrics = [{"key": f"m{n}", "value": n, "timestamp": n, "step": 0} for n in range(1000)]
        batch = {"run_id": run, "metrics": metrics}
        assert ours.ask("POST", f"{API}/runs/log-batch", batch)[0] == 200
    assert [what(line)[:2] for line in found] == [
        ("experiments/create", None),
        ("runs/create", None),
        ("runs/log-batch", None),
    ]
    assert found[2]["object"] == {"run_id": run, "cut": True}


def test_a_file_is_named_and_not_read(ours: Server) -> None:
    place = f"{ARTIFACTS}/0/{secrets.token_hex(4)}/a name"
    path = place.replace(" ", "%20")
    run = ours.run(ours.experiment())["run_id"]
    content = b'{"name": "hidden-in-a-file", "run_id": "x"}'
    with noted(ours) as found:
        assert ours.ask("PUT", path, content)[0] == 200
        assert ours.ask("DELETE", path)[0] == 200
        upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=a.json"
        kind = {"Content-Type": "application/octet-stream"}
        assert ours.ask("POST", upload, content, headers=kind)[0] == 200
    named = {"artifact_path": place.removeprefix(f"{ARTIFACTS}/")}
    assert [what(line) for line in found] == [
        ("mlflow-artifacts/artifacts/put", None, named, 200),
        ("mlflow-artifacts/artifacts/delete", None, named, 200),
        ("upload-artifact", None, {"run_uuid": run, "path": "a.json"}, 200),
    ]
    assert found[0]["route"] == f"{ARTIFACTS}/{{artifact_path}}"
    assert "hidden-in-a-file" not in ours.log.read_text()


def test_secrets_are_in_no_line(ours_with_login: Server) -> None:
    hidden = secrets.token_hex(16)
    ask = ours_with_login.ask
    with noted(ours_with_login) as found:
        key = {"secret_name": "provider", "secret_value": {"api_key": hidden}, "provider": "openai"}
        ask("POST", f"{NEW_API}/gateway/secrets/create", key)
        events = [{"entity": "MODEL_VERSION", "action": "CREATED"}]
        hook = {"name": "hook", "url": f"https://example.com/{hidden}", "events": events}
        ask("POST", f"{API}/webhooks", {**hook, "secret": hidden})
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        signed = f"username=dave&password={hidden}&csrf_token=x".encode()
        ask("POST", f"{API}/users/create-ui", signed, headers=form)
        renewed = {"username": "alice", "password": hidden, "current_password": hidden}
        ask("PATCH", f"{API}/users/update-password", renewed, "bob")
    assert [(line["event"], line["object"]) for line in found] == [
        ("gateway/secrets/create", {"secret_name": "provider", "provider": "openai"}),
        ("webhooks/create", {"name": "hook"}),
        ("users/create-ui", {"username": "dave"}),
        ("users/update-password", {"username": "alice"}),
    ]
    assert [line["status"] for line in found[:1]] == [200]
    assert hidden not in ours_with_login.log.read_text()


def test_traces_are_named_by_headers_and_within_their_body(ours_with_login: Server) -> None:
    experiment = ours_with_login.experiment("alice")
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes([7] * 16), bytes([7] * 8), "a"
    span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
    kind = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {"trace_id": f"tr-{'7' * 32}", "trace_location": place, "state": "OK"}
    info["request_time"] = "2026-01-01T00:00:00Z"
    with noted(ours_with_login) as found:
        sent = request.SerializeToString()
        assert ours_with_login.ask("POST", "/v1/traces", sent, "alice", kind)[0] == 200
        body = {"trace": {"trace_info": info}}
        ours_with_login.ask("POST", f"{NEW_API}/traces", body, "alice")
    named = {"trace_id": info["trace_id"], "experiment_id": experiment}
    assert [what(line)[:3] for line in found] == [
        ("v1/traces/create", "alice", {"experiment_id": experiment}),
        ("traces/create", "alice", named),
    ]


@pytest.fixture(scope="module")
def routes(ours_with_login: Server) -> list[tuple[str, str, str]]:
    """Method, path and handler of every route."""
    said = ours_with_login.program(LIST_ROUTES).stdout
    return [(method, path, handler) for method, path, handler in json.loads(said.splitlines()[-1])]


def test_every_route_reads_or_has_a_line(
    ours_with_login: Server, routes: list[tuple[str, str, str]]
) -> None:
    asked = {
        (method, path)
        for method, path, _ in routes
        if method not in reading.SAFE or reading.bare(path) in reading.CHANGING_GETS
    }
    assert len(asked) > 200
    with noted(ours_with_login) as found:
        connection = http.client.HTTPConnection("127.0.0.1", ours_with_login.port, timeout=30)
        # Without a login, none of them does anything.
        for method, path in sorted(asked):
            connection.request(method, re.sub(r"{\w+}", "1", path))
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 401, (method, path)
    lined = {(line["method"], line["route"]) for line in found}
    reads = {(method, path) for method, path in asked if reading.reads(method, path)}
    assert lined == asked - reads
    assert {line["user"] for line in found} == {None}
    # None of these is left from an older release.
    assert {reading.bare(path) for method, path in reads if method == "POST"} == reading.POSTS
    bare = {reading.bare(path) for method, path, _ in routes if method == "GET"}
    assert bare >= reading.CHANGING_GETS


def test_what_counts_as_reading_has_no_handler_that_writes(
    routes: list[tuple[str, str, str]],
) -> None:
    suspects = {
        handler
        for method, path, handler in routes
        if reading.reads(method, path)
        # Flask adds these two to every route.
        and method not in ("HEAD", "OPTIONS")
        and WRITES & set(re.split(r"[^a-z]+", handler.lower()))
    }
    # It makes an address for a reader.
    assert suspects == {"_create_presigned_download_url"}
    # Their names are MLflow's: two search, one returns its argument.
    read = {"mlflow_search_datasets", "mlflow_search_runs", "testMutation"}
    assert set(Mutation._meta.fields) == read, "a mutation may write: see reading.POSTS"


def test_a_user_made_by_the_command_has_a_line(ours_with_login: Server) -> None:
    name = f"erin-{secrets.token_hex(4)}"
    done = [ours_with_login.program(ADD_USER, "http://mlflow", name) for _ in range(2)]
    # The first process here is no server.
    told = [
        [json.loads(line) for line in one.stderr.splitlines() if line.startswith("{")]
        for one in done
    ]
    made, experiment = told[0]
    assert what(made) == ("users/create", None, {"username": name}, 0)
    assert made["method"] == "EXEC"
    assert experiment["event"] == "experiments/create"
    assert experiment["object"]["permission"] == "MANAGE"
    assert [what(line)[0] for line in told[1]] == ["users/update-password"]
    password = re.search(r"MLFLOW_TRACKING_PASSWORD='(\w+)'", done[0].stdout)
    assert password
    assert password[1] not in done[0].stderr


async def _answers(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await PlainTextResponse("done")(scope, receive, send)


def served(app: Any, *parts: bytes, method: str = "POST", path: str = "/runs/create") -> list[Any]:
    """Return what a layer sends for a request whose body comes in parts."""
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    asyncio.run(app({**scope, "client": ("192.0.2.1", 1)}, receive, send))
    return sent


ROUTES = Routes([], Map([Rule("/runs/create", methods=["POST"], endpoint="create_run")]))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(lines, "write", lambda line: found.append(json.loads(line)))
    return found


@pytest.mark.parametrize("part", ["find", "hear", "line", "write"])
def test_a_failure_of_the_log_changes_no_answer(
    part: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    owner = {"find": Routes, "hear": layer.Entry, "line": layer.Entry, "write": lines}[part]
    monkeypatch.setattr(owner, part, fail)
    with caplog.at_level(logging.ERROR):
        sent = served(layer.Audit(_answers, ROUTES), b"{}")
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 200
    assert "The audit log lacks a request" in caplog.text


def test_a_line_is_written_before_the_answer_and_once(written: list[dict[str, Any]]) -> None:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        async def seen(message: Any) -> None:
            order.append(len(written))
            await send(message)

        await _answers(scope, receive, seen)
        order.append(len(written))

    order: list[int] = []
    served(layer.Audit(answers, ROUTES), b'{"run_', b'id": "a"}')
    # Nothing is written when the answer comes to the layer, and one line afterwards.
    assert order == [0, 1, 1]
    (line,) = written
    assert (line["object"], line["source"]) == ({"run_id": "a"}, "192.0.2.1")


def test_an_application_that_fails_has_a_line(written: list[dict[str, Any]]) -> None:
    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    async def says_nothing(*_: object) -> None:
        pass

    with pytest.raises(ZeroDivisionError):
        served(layer.Audit(fails, ROUTES))
    served(layer.Audit(says_nothing, ROUTES))
    assert [line["status"] for line in written] == [500, None]


def test_no_more_than_the_begin_of_a_body_is_kept(written: list[dict[str, Any]]) -> None:
    kept: list[int] = []

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await _answers(scope, receive, send)
        kept.append(len(scope[layer._ENTRY]._body))

    pad = b"x" * objects.BOUND
    served(layer.Audit(answers, ROUTES), b'{"run_id": "a", "pad": "', pad, pad, b'", "name": "b"}')
    assert kept == [objects.BOUND]
    assert written[0]["object"] == {"run_id": "a", "cut": True}


def test_a_method_in_small_letters_has_a_line(written: list[dict[str, Any]]) -> None:
    served(layer.Audit(_answers, ROUTES), method="post")
    assert [(line["event"], line["method"]) for line in written] == [("runs/create", "POST")]
