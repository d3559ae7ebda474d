"""Logins and permissions of the admin, and of a user made by the documented command."""

import http.client
import json
import secrets
import shlex
from collections.abc import Mapping
from functools import partial

import pytest

from harness import clients
from harness.programs import run
from harness.stack import Stack, basic_login
from harness.waiting import wait_until
from tests.e2e.support.interruptions import delete_pod
from tests.e2e.support.users import add_user

pytestmark = pytest.mark.login

# With another worker a password that was changed is good for so long (login/basic_auth.py).
CACHE_SECONDS = 30
NOTHING = {
    "find": "nothing",
    "get": "PERMISSION_DENIED",
    "search": "nothing",
    "read": "PERMISSION_DENIED",
    "list": "PERMISSION_DENIED",
    "download": "PERMISSION_DENIED",
    "model": "PERMISSION_DENIED",
    "log": "PERMISSION_DENIED",
    "upload": "PERMISSION_DENIED",
    "start": "PERMISSION_DENIED",
    "delete": "PERMISSION_DENIED",
}
READING = {
    **dict.fromkeys(("find", "get", "search", "read", "list", "download"), "done"),
    "upload": "403",
}
# What a client does with a permission to READ (harness/client_scripts/promises.py).
PROMISED = {
    "registered_model": {
        "model",
        "model by alias",
        "model of a run's files",
        "model of a run",
        "model logged with a run",
        "models",
    },
    "prompt": {"prompt", "prompts"},
    "experiment": {
        *("run", "run's files", "logged model", "logged models"),
        *("trace", "traces", "dataset", "datasets"),
    },
}


@pytest.fixture(scope="module")
def alice(stack: Stack) -> dict[str, str]:
    return add_user(stack, "alice")


@pytest.fixture(scope="module")
def shared(stack: Stack, machine: clients.Machine) -> dict[str, str]:
    """An experiment of the admin's."""
    return share(machine, stack.client_env(), "make", "shared")


def share(machine: clients.Machine, user: Mapping[str, str], *arguments: str) -> dict[str, str]:
    found: dict[str, str] = machine.run("share_work.py", *arguments, client_env=user, seconds=120)
    return found


def use(
    machine: clients.Machine, user: Mapping[str, str], made: Mapping[str, str], name: str = "shared"
) -> dict[str, str]:
    return share(machine, user, "use", name, made["experiment_id"], made["run_id"])


def status(
    port: int, login: str | None, path: str = "/api/2.0/mlflow/experiments/search?max_results=1"
) -> int:
    """Return how the server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": login} if login else {}
    connection.request("GET", path, headers=headers)
    return connection.getresponse().status


def test_only_who_knows_a_password_gets_in(stack: Stack, alice: dict[str, str]) -> None:
    wrong = stack.client_env(MLFLOW_TRACKING_PASSWORD="password1234")  # noqa: S106 (the old default)
    stranger = alice | {"MLFLOW_TRACKING_USERNAME": "bob"}
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        assert status(port, None) == 401
        assert status(port, "Basic not-even-base64") == 401
        assert [status(port, basic_login(who)) for who in (wrong, stranger)] == [401, 401]
        assert [status(port, basic_login(who)) for who in (stack.client_env(), alice)] == [200, 200]


@pytest.mark.parametrize(
    "path", ["/", "/static-files/favicon.ico", "/ajax-api/3.0/mlflow/server-info"]
)
def test_the_pages_are_for_users_alone(stack: Stack, alice: dict[str, str], path: str) -> None:
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        assert status(port, None, path) == 401
        assert status(port, basic_login(alice), path) == 200


def test_a_user_sees_nothing_of_anothers_until_let_in(
    stack: Stack, machine: clients.Machine, alice: dict[str, str], shared: dict[str, str]
) -> None:
    assert use(machine, alice, shared) == NOTHING
    own = share(machine, alice, "make", "alices")
    mine = use(machine, alice, own, "alices")
    assert mine == dict.fromkeys(NOTHING, "done")

    share(machine, stack.client_env(), "grant", shared["experiment_id"], "alice")
    assert use(machine, alice, shared) == NOTHING | READING


def test_read_carries_what_it_promises_and_nothing_more(
    stack: Stack, machine: clients.Machine, alice: dict[str, str]
) -> None:
    name = f"promises-{secrets.token_hex(3)}"

    def promises(user: Mapping[str, str], *arguments: str) -> dict[str, str]:
        answer: dict[str, str] = machine.run(
            "promises.py", *arguments, client_env=user, seconds=180
        )
        return answer

    made = promises(stack.client_env(), "make", name)
    given: set[str] = set()
    for kind, identity in {
        "registered_model": name,
        "prompt": made["prompt"],
        "experiment": made["experiment_id"],
    }.items():
        promises(stack.client_env(), "grant", kind, identity, "alice", "READ")
        given |= PROMISED[kind]
        answers = promises(alice, "read", json.dumps(made))
        assert {what for what, said in answers.items() if said == "done"} == given, answers


def test_users_and_what_they_may_do_survive_restarts(
    stack: Stack, machine: clients.Machine, alice: dict[str, str], shared: dict[str, str]
) -> None:
    for app in (stack.database.name, "mlflow"):
        delete_pod(stack.kubectl, app)
        wait_until(partial(stack.kubectl.is_ready, app), 120, f"{app} is ready again")
    assert use(machine, alice, shared) == NOTHING | READING
    assert use(machine, stack.client_env(), shared)["read"] == "done"


def test_a_new_password_ends_the_old_one(stack: Stack, alice: dict[str, str]) -> None:
    renewed = add_user(stack, "alice")
    assert renewed["MLFLOW_TRACKING_PASSWORD"] != alice["MLFLOW_TRACKING_PASSWORD"]
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        assert status(port, basic_login(renewed)) == 200

        def refused() -> bool:
            # Each of them is asked in turn.
            return [status(port, basic_login(alice)) for _ in range(6)] == [401] * 6

        wait_until(refused, CACHE_SECONDS + 5, "no worker takes the old password")


def test_a_new_user_gets_an_experiment_that_is_nobody_elses(
    stack: Stack, machine: clients.Machine
) -> None:
    name = f"carol-{secrets.token_hex(3)}"
    share(machine, add_user(stack, "dave"), "make", name)
    assert add_user(stack, name)["MLFLOW_EXPERIMENT_NAME"] == f"{name}-2"
    # A new password, and the same experiment.
    assert add_user(stack, name)["MLFLOW_EXPERIMENT_NAME"] == f"{name}-2"
    # Somebody else of the same name.
    share(machine, stack.client_env(), "remove", name)
    assert add_user(stack, name)["MLFLOW_EXPERIMENT_NAME"] == f"{name}-3"


def test_who_made_a_user_is_in_the_audit_log_and_no_password(stack: Stack) -> None:
    by_command, by_api = (f"{name}-{secrets.token_hex(3)}" for name in ("frank", "grace"))
    hidden = [add_user(stack, by_command)["MLFLOW_TRACKING_PASSWORD"], secrets.token_hex(16)]
    login = basic_login(stack.client_env())
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Authorization": login, "Content-Type": "application/json"}
        asked = json.dumps({"username": by_api, "password": hidden[1]})
        connection.request("POST", "/api/2.0/mlflow/users/create", asked, headers)
        assert connection.getresponse().status == 200
    said = stack.kubectl("logs", "--selector=app.kubernetes.io/instance=mlflow", "--tail=-1")
    lines = [json.loads(line) for line in said.splitlines() if '"log": "audit"' in line]
    made = {
        line["object"]["username"]: (line["user"], line["method"], line["status"])
        for line in lines
        if line["event"] == "users/create"
    }
    assert made[by_command] == (None, "EXEC", 0)
    assert made[by_api] == ("admin", "POST", 200)
    assert [one for one in hidden if one in said] == []


@pytest.mark.parametrize("name", ["a:b", "--help", "a" * 251])
def test_a_name_that_no_client_can_send_is_refused_in_one_line(stack: Stack, name: str) -> None:
    command = [*shlex.split(stack.outputs()["add_user"]), name]
    answer = run(command, stack.environment, seconds=60, check=False)
    assert answer.returncode
    assert not answer.stdout
    (line,) = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert line == (
        f"error: {name!r}: expected one name of 1 to 250 letters, digits and . _ - + @, "
        "which does not begin with -"
    )


def test_a_replaced_password_of_the_admin_is_in_force(
    stack: Stack, machine: clients.Machine
) -> None:
    old = stack.client_env()
    (urn,) = (
        resource["urn"]
        for resource in stack.resources()
        if resource["urn"].endswith("::mlflow-admin-password")
    )
    stack.change("up", "--replace", urn)
    new = stack.client_env()
    assert new["MLFLOW_TRACKING_PASSWORD"] != old["MLFLOW_TRACKING_PASSWORD"]
    report = machine.run("first_run.py", client_env=new, seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}
    stack.change("preview", "--expect-no-changes")
