"""Permissions by MLflow's own checks and by this package's, and the statements of a check."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import sqlalchemy
from conftest import Server
from fastapi import FastAPI
from flask import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.protos.service_pb2 import SearchRuns
from mlflow.utils.proto_json_utils import message_to_json
from mlflow_kubernetes import contract
from mlflow_kubernetes.login import basic_auth, gate
from mlflow_kubernetes.patches import rights
from mlflow_kubernetes.stores import runs
from sqlalchemy.engine import Engine
from werkzeug.datastructures import Authorization

API = "/api/2.0/mlflow"
WORKSPACE = "default"
PERMISSIONS = ("READ", "USE", "EDIT", "MANAGE", "DENY", "NO_PERMISSIONS")
TYPES = ("experiment", "run", "logged_model", "registered_model", "workspace")
ROLES = (1, 2)
OF_RUNS = (("POST", "runs/log-batch"), ("POST", "runs/delete"), ("GET", "runs/get"))
OF_EXPERIMENTS = (
    *(("POST", "runs/create"), ("POST", "experiments/delete")),
    ("GET", "experiments/get"),
)
Request = tuple[str, str, dict[str, Any]]


class Grant(NamedTuple):
    """A grant of one of the two roles that the user has."""

    role: int
    resource_type: str
    resource_pattern: str
    permission: str


class Sides:
    """MLflow's module of basic-auth, as it is and with our parts, on one pair of databases."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "users.db"
        address = f"sqlite:///{self.file}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(contract.AUTH_DATABASE_URI, address)
            basic_auth.configure()
            import mlflow.server.auth as server  # noqa: PLC0415 (it reads its settings)
        os.environ.pop("MLFLOW_AUTH_CONFIG_PATH")
        self.server: Any = server
        self.tracking = runs.Store(f"sqlite:///{folder}/runs.db", str(folder))
        self.mlflow = self._parts()
        server.store.init_db(address)
        for name in ("user", "other"):
            server.store.create_user(name, "a long password", is_admin=False)
        self.experiments = [self._experiment(name) for name in ("a", "b")]
        self.runs = [
            self.tracking.create_run(one.experiment_id, "user", 1, [], "r").info.run_id
            for one in self.experiments
        ]
        rights.install_with_login()
        server.store.init_db(address)
        self.ours = self._parts()

    def _experiment(self, name: str) -> Experiment:
        return self.tracking.get_experiment(self.tracking.create_experiment(name))

    def _parts(self) -> dict[str, Any]:
        names = ("store", "resolve_permissions", "_fetch_or_none", "_redact_run_response")
        return {name: getattr(self.server, name) for name in names}

    @contextmanager
    def side(self, parts: Mapping[str, Any], name: str = "user") -> Iterator[Any]:
        """Give the module with these parts, and with a user who sends all requests."""
        with pytest.MonkeyPatch.context() as patch:
            for part, value in parts.items():
                patch.setattr(self.server, part, value)
            sender = Authorization("basic", {"username": name, "password": ""})
            patch.setattr(self.server, "authenticate_request", lambda: sender)
            patch.setattr(self.server, "_get_tracking_store", lambda: self.tracking)
            yield self.server

    def set(self, grants: list[Grant], *, admin: bool = False) -> None:
        """Give the user two roles with these grants, as another process would."""
        with closing(sqlite3.connect(self.file)) as users, users:
            users.execute("DELETE FROM role_permissions")
            users.execute("DELETE FROM user_role_assignments")
            users.execute("DELETE FROM roles")
            users.execute("UPDATE users SET is_admin = ? WHERE username = 'user'", (admin,))
            for role, place in ((1, WORKSPACE), (2, WORKSPACE), (3, "elsewhere")):
                users.execute(
                    "INSERT INTO roles (id, name, workspace) VALUES (?, ?, ?)",
                    (role, str(role), place),
                )
                users.execute(
                    "INSERT INTO user_role_assignments (user_id, role_id) "
                    "SELECT id, ? FROM users WHERE username = 'user'",
                    (role,),
                )
            # Of no use here: another workspace's, and another user's.
            rows = [
                *grants,
                Grant(3, "experiment", "*", "MANAGE"),
                Grant(3, "workspace", "*", "MANAGE"),
            ]
            users.executemany(
                "INSERT OR IGNORE INTO role_permissions "
                "(role_id, resource_type, resource_pattern, permission) VALUES (?, ?, ?, ?)",
                rows,
            )

    def requests(self) -> list[Request]:
        """Return requests for each thing that there is and for one that there is not."""
        experiments = (*(one.experiment_id for one in self.experiments), "99")
        return [
            *(request(*call, "run_id", run) for run in (*self.runs, "0" * 32) for call in OF_RUNS),
            *(
                request(*call, "experiment_id", one)
                for one in experiments
                for call in OF_EXPERIMENTS
            ),
        ]


def request(method: str, path: str, name: str, value: object) -> Request:
    where = "json" if method == "POST" else "query_string"
    return method, f"{API}/{path}", {where: {name: value}}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    return Sides(tmp_path_factory.mktemp("rights"))


def decisions(sides: Sides, parts: Mapping[str, Any], requests: list[Request]) -> list[object]:
    """Return how each request is answered before its handler runs; None lets it pass."""
    found: list[object] = []
    with sides.side(parts) as server:
        for method, path, asked in requests:
            with server.app.test_request_context(path, method=method, **asked):
                try:
                    answer = server._before_request()
                except TypeError as error:  # a list or an object in the place of an id
                    found.append(str(error))
                else:
                    # The server leaves out the statements, which differ (patches/bad_input.py).
                    said = answer and answer.get_data().partition(b"[SQL: ")[0]
                    found.append(answer and (answer.status_code, said))
    return found


def answers(sides: Sides, parts: Mapping[str, Any]) -> list[object]:
    """Return the decisions, and what MLflow's functions say of the grants."""
    found = decisions(sides, parts, sides.requests())
    with sides.side(parts) as server:
        keys = [
            server.GrantLoadKey(kind, name)
            for kind in TYPES
            for name in ("*", *(one.experiment_id for one in sides.experiments))
        ]
        with server.app.test_request_context():
            ids = ["0", *(one.experiment_id for one in sides.experiments)]
            found.append(server.filter_experiment_ids(ids))
            found.append(server._denied_sibling_tiers("user", ("run", "logged_model")))
            found.append(server.resolve_permissions("user", WORKSPACE, keys))
        # As from a native route, which has no request of Flask's.
        found += [server.resolve_permissions("user", WORKSPACE, [key]) for key in keys]
    return found


@pytest.fixture(params=[0, 3, 100])
def most(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The number of grants that are read together with the user."""
    from mlflow_kubernetes.login import user_store  # noqa: PLC0415 (it imports MLflow's basic-auth)

    monkeypatch.setattr(user_store, "MOST_GRANTS", request.param)
    user_store._account.cache_clear()
    yield
    user_store._account.cache_clear()


grant = st.builds(
    Grant,
    st.sampled_from(ROLES),
    st.sampled_from(TYPES),
    st.sampled_from(("*", "1", "2", "3")),
    st.sampled_from(PERMISSIONS),
)


@pytest.mark.usefixtures("most")
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(grants=st.lists(grant, max_size=6), admin=st.sampled_from((False, False, False, True)))
def test_every_check_is_answered_as_by_mlflow_itself(
    sides: Sides, grants: list[Grant], admin: bool
) -> None:
    sides.set(grants, admin=admin)
    assert answers(sides, sides.ours) == answers(sides, sides.mlflow)


def test_each_grant_alone_is_answered_as_by_mlflow_itself(sides: Sides) -> None:
    first = sides.experiments[0].experiment_id
    for kind in ("experiment", "run", "workspace"):
        for pattern in ("*", first):
            for permission in PERMISSIONS:
                sides.set([Grant(1, kind, pattern, permission)])
                ours = answers(sides, sides.ours)
                assert ours == answers(sides, sides.mlflow), (kind, pattern, permission)


def test_what_is_no_name_is_answered_as_by_mlflow_itself(sides: Sides) -> None:
    requests = [
        request(method, path, name, value)
        for name, calls in (("run_id", OF_RUNS), ("experiment_id", OF_EXPERIMENTS))
        for method, path in calls
        if method == "POST"
        for value in (1, None, "", "\0", "\ud800", [sides.runs[0]], {})
    ]
    for grants in ([], [Grant(1, "experiment", "*", "EDIT")]):
        sides.set(grants)
        assert decisions(sides, sides.ours, requests) == decisions(sides, sides.mlflow, requests)


def test_links_to_models_are_left_out_as_by_mlflow_itself(sides: Sides) -> None:
    def linked(name: str) -> SearchRuns.Response:
        message = SearchRuns.Response()
        run = message.runs.add()
        run.info.run_id = run.info.run_name = name
        if name == "inputs":
            run.inputs.model_inputs.add().model_id = "m"
        elif name == "outputs":
            run.outputs.model_outputs.add().model_id = "m"
        elif name == "metrics":
            run.data.metrics.add().model_id = "m"
        return message

    def answer(parts: Mapping[str, Any], name: str) -> bytes:
        said = Response(message_to_json(linked(name)), mimetype="application/json")
        with sides.side(parts) as server, server.app.test_request_context():
            server.redact_search_runs_model_links(said)
        return said.get_data()

    for grants in ([], [Grant(1, "logged_model", "*", "DENY")]):
        sides.set(grants)
        for name in ("none", "inputs", "outputs", "metrics"):
            left = b'"m"' in answer(sides.ours, name)
            assert left == (not grants and name != "none")
            assert answer(sides.ours, name) == answer(sides.mlflow, name)


def test_an_unknown_user_is_refused_as_by_mlflow_itself(sides: Sides) -> None:
    said = []
    for parts in (sides.mlflow, sides.ours):
        with pytest.raises(MlflowException) as refused:
            parts["store"].get_user("nobody")
        said.append((refused.value.error_code, refused.value.message))
    assert said[0] == said[1]


@contextmanager
def counted() -> Iterator[list[str]]:
    """Give the list of the statements that are sent meanwhile, without SQLite's own."""
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if not statement.startswith("PRAGMA"):
            sent.append(statement)

    sqlalchemy.event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sqlalchemy.event.remove(Engine, "before_cursor_execute", note)


def test_a_check_of_permissions_takes_few_statements(sides: Sides) -> None:
    experiment, run = sides.experiments[0].experiment_id, sides.runs[0]
    grants = [Grant(1, "experiment", experiment, "EDIT")]
    many = [Grant(1, "experiment", str(number), "MANAGE") for number in range(1000, 1200)]
    requests = (
        ("runs/log-batch", {"run_id": run}),
        ("runs/log-metric", {"run_id": run}),
        ("runs/create", {"experiment_id": experiment}),
    )

    def count(parts: Mapping[str, Any]) -> list[int]:
        found = []
        with sides.side(parts) as server:
            for path, asked in requests:
                with (
                    server.app.test_request_context(f"{API}/{path}", method="POST", json=asked),
                    counted() as sent,
                ):
                    assert server._before_request() is None
                found.append(len(sent))
        return found

    sides.set(grants)
    # The user with the grants; the experiment of the run.
    assert count(sides.ours) == [2, 2, 1]
    assert min(count(sides.mlflow)) >= 3
    sides.set(grants + many)
    assert count(sides.ours) == [3, 3, 2]
    sides.set([], admin=True)
    assert count(sides.ours) == [1, 1, 1]


def test_a_request_sees_what_it_changes_itself(sides: Sides) -> None:
    sides.set([])
    store = sides.ours["store"]
    with sides.server.app.test_request_context():
        user = store.get_user("user")
        assert store.list_grants(user.id, WORKSPACE, {"experiment"}) == []
        store.grant_user_permission("user", "experiment", "7", "READ")
        assert store.list_grants(user.id, WORKSPACE, {"experiment"}) == [
            ("experiment", "7", "READ")
        ]
        store.update_user("user", is_admin=True)
        assert store.get_user("user").is_admin


def test_a_right_that_another_process_takes_away_is_gone_with_the_next_request(
    ours_with_login: Server,
) -> None:
    server = ours_with_login
    experiment = server.experiment("alice")
    run = server.run(experiment, "alice")["run_id"]
    point = {"run_id": run, "key": "m", "value": 1, "timestamp": 1, "step": 1}
    users = server.log.parent / "users.db"

    def change(statement: str, *values: object) -> None:
        with closing(sqlite3.connect(users, timeout=20)) as connection, connection:
            assert connection.execute(statement, values).rowcount

    def statuses(user: str) -> set[int]:
        # Each of the two workers answers some of them.
        path = f"{API}/runs/log-metric"
        return {server.ask("POST", path, point, user)[0] for _ in range(8)}

    assert statuses("alice") == {200}
    level = "UPDATE role_permissions SET permission = ? WHERE resource_pattern = ?"
    change(level, "READ", experiment)
    assert statuses("alice") == {403}
    change(level, "MANAGE", experiment)
    assert statuses("alice") == {200}
    change("DELETE FROM role_permissions WHERE resource_pattern = ?", experiment)
    assert statuses("alice") == {403}
    assert statuses("bob") == {403}
    change("UPDATE users SET is_admin = ? WHERE username = ?", True, "bob")
    assert statuses("bob") == {200}
    change("UPDATE users SET is_admin = ? WHERE username = ?", False, "bob")
    assert statuses("bob") == {403}


def test_a_database_that_fails_after_the_password_was_compared_refuses_nobody(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's login takes this user for one who was deleted: no client repeats a call then."""

    def away(_: str) -> NoReturn:
        raise MlflowException("the database is away", TEMPORARILY_UNAVAILABLE)

    good, wrong = (gate.Login("user", word, False) for word in ("a long password", "another one"))
    with sides.side(sides.ours) as server:
        door = gate.Gate(FastAPI())
        monkeypatch.setattr(server, "_USER_AUTH_CACHE", None)
        assert door._check(good).username == "user"
        monkeypatch.setattr(server.store, "_read", away)
        assert server._authenticate_cached(*good[:2]) is None
        with pytest.raises(MlflowException, match="the database is away"):
            door._check(good)
        assert door._check(wrong) is None
        assert door._check(gate.Login("nobody", "a long password", False)) is None
