"""Answers of the server to requests, beside the answers of MLflow alone."""

import http.client
import json

from conftest import Server

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
EXPERIMENTS = "/api/2.0/mlflow/experiments"


def raw(server: Server, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_a_name_is_not_taken_for_an_address(ours: Server, mlflow: Server) -> None:
    path, headers = f"{EXPERIMENTS}/search?max_results=1", {"Host": "10.evil.example"}
    assert raw(mlflow, "GET", path, headers)[0] == 200
    status, said = raw(ours, "GET", path, headers)
    assert (status, "10.evil.example" in said) == (403, True)
    assert raw(ours, "GET", path, {"Host": "127.0.0.1:5000"})[0] == 200


def test_bad_input_is_refused_as_such(ours: Server, mlflow: Server) -> None:
    asked = {"experiment_id": "9" * 30}
    assert mlflow.ask("POST", "/api/2.0/mlflow/runs/create", asked)[0] == 500
    status, said = ours.ask("POST", "/api/2.0/mlflow/runs/create", asked)
    assert (status, said["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_artifacts_are_kept_in_the_store(ours: Server, mlflow: Server) -> None:
    for number, location in enumerate(("/etc", "s3://bucket/mine/../others")):
        asked = {"name": f"elsewhere {number}", "artifact_location": location}
        assert mlflow.ask("POST", f"{EXPERIMENTS}/create", asked)[0] == 200
        status, said = ours.ask("POST", f"{EXPERIMENTS}/create", asked)
        assert (status, "accepted: no value" in said["message"]) == (400, True)


def test_no_artifact_is_stored_under_another_name(ours: Server, mlflow: Server) -> None:
    assert mlflow.ask("PUT", f"{ARTIFACTS}/a%2541", b"x")[0] == 200
    assert [file.name for file in mlflow.artifacts.rglob("a*")] == ["aA"]
    status, said = ours.ask("PUT", f"{ARTIFACTS}/a%2541", b"x")
    assert (status, "decodes names" in said["message"]) == (400, True)


def test_a_part_of_a_file_is_not_stored_as_the_file(ours: Server, mlflow: Server) -> None:
    part = {"Content-Range": "bytes 0-0/2"}
    assert mlflow.ask("PUT", f"{ARTIFACTS}/part", b"x", headers=part)[0] == 200
    status, said = ours.ask("PUT", f"{ARTIFACTS}/part", b"x", headers=part)
    assert (status, "Content-Range" in said["message"]) == (400, True)
    assert ours.ask("PUT", f"{ARTIFACTS}/whole", b"x")[0] == 200
    assert ours.ask("GET", f"{ARTIFACTS}/whole") == (200, "x")


def test_a_body_without_a_length_is_read(ours: Server, mlflow: Server) -> None:
    def create(server: Server) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = json.dumps({"name": "in pieces"}).encode()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"{EXPERIMENTS}/create", iter([body[:5], body[5:]]), headers)
        return connection.getresponse().status

    assert create(mlflow) == 400
    assert create(ours) == 200


def test_a_trace_stays_in_its_experiment(ours: Server, mlflow: Server) -> None:
    def send(server: Server, experiment: str) -> int:
        info = {
            "trace_id": "tr-" + "1" * 32,
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment},
            },
            "request_time": "2026-01-01T00:00:00Z",
            "state": "OK",
        }
        return server.ask("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})[0]

    for server, status in ((mlflow, 200), (ours, 403)):
        assert send(server, server.experiment()) == 200
        assert send(server, server.experiment()) == status


def test_a_versions_files_are_named_without_the_run(ours: Server, mlflow: Server) -> None:
    def place(server: Server) -> str:
        run = server.run(server.experiment())
        asked = {"name": "model", "source": f"runs:/{run['run_id']}/model", "run_id": run["run_id"]}
        server.ask("POST", "/api/2.0/mlflow/registered-models/create", {"name": "model"})
        status, said = server.ask("POST", "/api/2.0/mlflow/model-versions/create", asked)
        assert status == 200, said
        path = "/api/2.0/mlflow/model-versions/get-download-uri?name=model&version=1"
        return str(server.ask("GET", path)[1]["artifact_uri"]).partition(":")[0]

    assert place(mlflow) == "runs"
    assert place(ours) == "mlflow-artifacts"
