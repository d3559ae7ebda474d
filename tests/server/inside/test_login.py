"""Permissions on a server with a login."""

import time
from typing import Any

from conftest import Server
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

API = "/api/2.0/mlflow"
SPANS = "/v1/traces"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def spans(experiment: str, number: int, run: str | None = None) -> tuple[bytes, dict[str, str]]:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes([number] * 16), bytes([number] * 8), "a"
    span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    return request.SerializeToString(), headers | ({"x-mlflow-run-id": run} if run else {})


def send(server: Server, sent: tuple[bytes, dict[str, str]]) -> tuple[int, Any]:
    return server.ask("POST", SPANS, sent[0], "alice", sent[1])


def test_a_wrong_password_lets_nobody_in(ours_with_login: Server) -> None:
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert ours_with_login.ask("GET", path, user="mallory")[0] == 401
    assert ours_with_login.ask("GET", path, user="alice")[0] == 200


def test_native_routes_take_over_who_was_let_in(ours_with_login: Server) -> None:
    assert send(ours_with_login, spans(ours_with_login.experiment("alice"), 1))[0] == 200


def test_nobody_adds_spans_to_the_run_of_another_user(
    ours_with_login: Server, mlflow_with_login: Server
) -> None:
    for server, status in ((mlflow_with_login, 200), (ours_with_login, 403)):
        run = server.run(server.experiment("bob"), "bob")["run_id"]
        assert send(server, spans(server.experiment("alice"), 2, run))[0] == status


def test_an_experiments_name_in_its_ids_place_is_told(
    ours_with_login: Server, mlflow_with_login: Server
) -> None:
    sent = spans("a name", 3)
    assert "set_experiment" not in str(send(mlflow_with_login, sent))
    status, said = send(ours_with_login, sent)
    assert (status, "set_experiment" in str(said)) == (400, True)


def test_a_location_is_for_the_server_to_choose(ours_with_login: Server) -> None:
    asked = {"name": "chosen", "artifact_location": "mlflow-artifacts:/1"}
    answer = ours_with_login.ask("POST", "/api/2.0/mlflow/experiments/create", asked, "alice")
    assert (answer[0], "accepted: no value" in answer[1]["message"]) == (400, True)


def test_readers_of_a_model_read_its_files(
    ours_with_login: Server, mlflow_with_login: Server
) -> None:
    def read(server: Server) -> list[int]:
        run = server.run(server.experiment("alice"), "alice")
        folder = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        for name in ("model/file", "other"):
            assert server.ask("PUT", f"{ARTIFACTS}/{folder}/{name}", b"x", "alice")[0] == 200
        source = {"source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
        grant = {"resource_type": "registered_model", "resource_id": "shared"}
        for path, asked in (
            ("2.0/mlflow/registered-models/create", {"name": "shared"}),
            ("2.0/mlflow/model-versions/create", {"name": "shared", **source}),
            (
                "3.0/mlflow/users/permissions/grant",
                {"username": "bob", "permission": "READ", **grant},
            ),
        ):
            status, said = server.ask("POST", f"/api/{path}", asked, "alice")
            assert status == 200, (path, said)
        names = ("model/file", "other")
        return [server.ask("GET", f"{ARTIFACTS}/{folder}/{name}", None, "bob")[0] for name in names]

    assert read(mlflow_with_login) == [403, 403]
    assert read(ours_with_login) == [200, 403]


def test_nobody_deletes_what_the_query_does_not_name(
    ours_with_login: Server, mlflow_with_login: Server
) -> None:
    models = f"{API}/registered-models"

    def delete(server: Server) -> tuple[int, int]:
        for user, name in (("alice", "hers"), ("bob", "his")):
            assert server.ask("POST", f"{models}/create", {"name": name}, user)[0] == 200
        body, text = b'{"name": "his"}', {"Content-Type": "text/plain"}
        answer = server.ask("DELETE", f"{models}/delete?name=hers", body, "alice", text)
        return answer[0], server.ask("GET", f"{models}/get?name=his", user="admin")[0]

    assert delete(mlflow_with_login) == (200, 404)
    assert delete(ours_with_login) == (400, 200)
    for user, name in (("alice", "hers"), ("bob", "his")):
        answer = ours_with_login.ask("DELETE", f"{models}/delete", {"name": name}, user)
        assert answer[0] == 200


def test_the_demo_is_left_to_admins(ours_with_login: Server, mlflow_with_login: Server) -> None:
    path = "/ajax-api/3.0/mlflow/demo/generate"
    assert ours_with_login.ask("POST", path, {}, "alice")[0] == 403
    # MLflow makes its demo for every user, which takes half a minute; the page offers it.
    mark = "mlflow.home.demo-banner.launch"
    assert mark not in mlflow_with_login.ask("GET", "/", user="alice")[1]
    assert mark in ours_with_login.ask("GET", "/", user="alice")[1]
    assert mark not in ours_with_login.ask("GET", "/", user="admin")[1]
