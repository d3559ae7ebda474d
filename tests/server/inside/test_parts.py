"""Patches that need more than a request of a single client, each by the function it replaces."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any

import psycopg2
import pymysql
import pytest
import sqlalchemy
from cryptography.fernet import Fernet, InvalidToken
from fastapi import FastAPI
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.server import otel_api
from mlflow.store.model_registry.dbmodels.models import EncryptedString
from mlflow.utils import validation
from mlflow.webhooks import delivery
from mlflow_kubernetes import contract
from mlflow_kubernetes.artifacts import hdfs, patience
from mlflow_kubernetes.patches import bad_input, egress, memory, traces, webhooks
from mlflow_kubernetes.server import migrated
from mlflow_kubernetes.support import no_room
from sqlalchemy import exc
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool
from uvicorn.protocols.http import h11_impl

PRIVATE = "10.1.2.3"


@contextmanager
def restored(*parts: tuple[object, str]) -> Iterator[None]:
    """Put parts of other packages back at the end."""
    before = [(owner, name, getattr(owner, name)) for owner, name in parts]
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def test_a_webhook_of_another_key_is_listed_and_not_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key() -> None:
        name = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
        monkeypatch.setenv(name, Fernet.generate_key().decode())

    key()
    kept = EncryptedString().process_bind_param("secret", sqlite.dialect())
    key()
    with pytest.raises(InvalidToken):
        EncryptedString().process_result_value(kept, sqlite.dialect())
    parts = (EncryptedString, "process_result_value"), (delivery, "_send_webhook_request")
    with restored(*parts):
        webhooks.install()
        found = EncryptedString().process_result_value(kept, sqlite.dialect())

        class Webhook:
            name, secret = "mine", found

        assert found == "unreadable"
        with pytest.raises(MlflowException, match="set the secret again"):
            delivery._send_webhook_request(Webhook())


def test_a_private_address_that_is_open_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MlflowException):
        validation._validate_hostname_resolves_to_public_ips(PRIVATE, "URL")
    parts = (
        (delivery, "_create_webhook_session"),
        (delivery, "_validate_webhook_url"),
        (validation, "_validate_hostname_resolves_to_public_ips"),
        (egress.gateway_ssrf, "build_ssrf_guarded_connector"),
        (egress.gateway_ssrf, "assert_public_upstream_url"),
        (egress.gateway, "_aiohttp_post"),
        (egress.webhook_ssrf._SSRFProtectedHTTPConnection, "_new_conn"),
        (egress.webhook_ssrf._SSRFProtectedHTTPSConnection, "_new_conn"),
    )
    with restored(*parts):
        monkeypatch.setenv(contract.EGRESS, json.dumps(["10.0.0.0/8"]))
        egress.install()
        validation._validate_hostname_resolves_to_public_ips(PRIVATE, "URL")
        with pytest.raises(MlflowException, match=r"no setting of mlflow:egress opens a way to it"):
            validation._validate_hostname_resolves_to_public_ips("192.168.1.1", "URL")


def test_uvicorn_reads_ahead_of_the_application() -> None:
    before = h11_impl.HIGH_WATER_LIMIT
    with restored((h11_impl, "HIGH_WATER_LIMIT")):
        memory.install()
        assert before < h11_impl.HIGH_WATER_LIMIT == 1024 * 1024


class FullPostgres(psycopg2.OperationalError):
    pgcode = "53100"


def test_a_text_that_no_database_keeps_is_found_in_a_list() -> None:
    class Context:
        compiled_parameters = ({"key__2": ["a"], "value__2": ["b", "c\0"]},)

    row = Context.compiled_parameters[0]
    with pytest.raises(MlflowException, match=r"A text of 'value' has the character U\+0000"):
        bad_input._refuse_unfit(None, None, None, row, Context, False)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (FullPostgres("could not extend file"), True),
        (psycopg2.OperationalError("server closed the connection unexpectedly"), False),
        (pymysql.err.OperationalError(1114, "The table 'metrics' is full"), True),
        (
            pymysql.err.InternalError(
                3, "Error writing file (OS errno 28 - No space left on device)"
            ),
            True,
        ),
        (pymysql.err.OperationalError(2013, "Lost connection to MySQL server"), False),
    ],
)
def test_a_full_database_is_told_from_one_that_is_away(error: Exception, full: bool) -> None:
    assert no_room.of_database(error) == full


def test_clients_do_not_repeat_what_finds_no_room() -> None:
    assert bad_input._STATUS[no_room.NAME] == 507
    assert no_room.NAME not in ERROR_CODE_TO_HTTP_STATUS, "MLflow has a status of its own"
    failure = no_room.failure("the database", "could not extend file")
    assert str(failure) == "No room is left in the database: could not extend file"


@pytest.mark.parametrize("error", [exc.OperationalError, exc.InterfaceError])
def test_spans_are_sent_again_where_the_database_is_away(
    error: type[exc.DBAPIError], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        async def log_spans_async(self, *_: object) -> None:
            raise error(None, None, Exception("Lost connection"), connection_invalidated=True)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(spans).encode()}

    def status(endpoint: Any) -> int:
        app = FastAPI()
        app.add_api_route("/", endpoint, methods=["POST"])
        app.add_middleware(bad_input.BadInput)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = {"content-type": "application/json", "x-mlflow-experiment-id": "1"}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
        asyncio.run(app({**scope, "headers": raw}, receive, send))
        return int(sent[0]["status"])

    monkeypatch.setattr(otel_api, "_get_tracking_store", Away)
    times = {"startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    span = {"traceId": "1" * 32, "spanId": "1" * 16, "name": "a", **times}
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    assert status(otel_api.export_traces) == 422
    assert status(traces._export) == 503


def test_a_lost_connection_is_no_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MlflowException, "__init__", bad_input._make_as_input)
    for lost, status in ((True, 503), (False, 400)):
        error = exc.InterfaceError(None, None, Exception(), connection_invalidated=lost)
        assert MlflowException(error, error_code=BAD_REQUEST).get_http_status_code() == status


@pytest.mark.parametrize(
    ("there", "code"),
    [
        ("There are 1 datanode(s) running and no node(s) are excluded in this operation.", 507),
        ("There are 0 datanode(s) running and no node(s) are excluded in this operation.", 503),
        ("There are 1 datanode(s) running and 1 node(s) are excluded in this operation.", 503),
    ],
)
def test_a_full_hdfs_is_told_from_one_without_datanodes(there: str, code: int) -> None:
    said = f"File /a could only be written to 0 of the 1 minReplication nodes. {there}"
    found, _ = hdfs.told(RuntimeError(f'RPCError("java.io.IOException", "{said}")'))
    statuses = ERROR_CODE_TO_HTTP_STATUS | bad_input._STATUS
    assert statuses[MlflowException("", found).error_code] == code


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('DataTransferError("Failed to read ack from DataNode: early eof")', 503),
        ('OperationFailed("RPC listener disconnected")', 503),
        ('InternalError("No new datanode found in updated block locations")', 503),
        ('UnsupportedFeature("erasure coding")', 500),
    ],
)
def test_a_datanode_that_ends_in_a_transfer_may_come_back(said: str, code: int) -> None:
    found, _ = hdfs.told(RuntimeError(said))
    statuses = ERROR_CODE_TO_HTTP_STATUS | bad_input._STATUS
    assert statuses[MlflowException("", found).error_code] == code


def test_a_server_waits_for_the_schema_that_it_expects() -> None:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
    problem = partial(migrated._problem, engine, "alembic_version", "head")
    assert problem() == "no such table: alembic_version"
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
    assert problem() == "schema none, expected head"
    for found, said in (("older", "schema older, expected head"), ("head", None)):
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_version")
            insert = sqlalchemy.text("INSERT INTO alembic_version VALUES (:found)")
            connection.execute(insert, {"found": found})
        assert problem() == said


def test_a_slow_store_is_waited_for_and_a_silent_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "UNASKED_SECONDS", 0.1)
    monkeypatch.setattr(patience, "ANSWER_SECONDS", 0.1)
    slow, never = Event(), Event()
    assert patience.answered(lambda: None, lambda: slow.wait(0.5)) is False
    with pytest.raises(patience.SilentError):
        patience.answered(never.wait, never.wait)
    with pytest.raises(ZeroDivisionError):
        patience.answered(lambda: None, lambda: 1 / 0)
    never.set()
