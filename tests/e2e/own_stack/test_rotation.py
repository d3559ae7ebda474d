"""The database, and all else that `make rotate` rotates, twice, while a client logs to two servers.

What was stored before can be read, and what was good is refused. On PostgreSQL, the client repeats
no call. On MySQL it does, as MLflow's clients do, because MySQL restarts.
"""

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import pytest

from commands.rotate import wanted
from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.backend_stores import MYSQL, POSTGRES
from harness.kubectl import restarts
from harness.stack import Stack, basic_login
from tests.e2e.support import stateful_pods
from tests.e2e.support.continuous_client import logging_meanwhile
from tests.e2e.support.numbers_of_servers import NUMBERS, UP_SECONDS
from tests.e2e.support.raw_http import Raw
from tests.e2e.support.restoring import SECRETS, back_up, bring_back, everything, fill
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.users import add_user

pytestmark = [pytest.mark.login, pytest.mark.long]

NAMESPACE = "mlflow-e2e-rotation"
SECONDS = 60
"""How long a former password may be good after the command."""
EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=0"
STACKS = {
    **{numbers: (POSTGRES, chosen) for numbers, chosen in NUMBERS.items()},
    "MySQL": (MYSQL, dict[str, str]()),
}
"""What the stacks are made of: the database, and further settings."""
SUPERUSER = {POSTGRES.name: "POSTGRES_PASSWORD", MYSQL.name: "MYSQL_ROOT_PASSWORD"}
# The password comes over standard input, for others could read an argument.
AS_ROOT = 'read -r MYSQL_PWD; export MYSQL_PWD; mysql --user=root --execute="SELECT 7" 2>&1 || true'
NONE_IS_GOOD = dict.fromkeys(
    ("user", "superuser", "bucket", "passphrase", "webhook", "page"), False
)


@dataclass(frozen=True)
class Filled:
    """A stack with two servers that holds something of everything."""

    stack: Stack
    machine: clients.Machine
    alice: dict[str, str]
    read: list[object]
    """What was read before the first rotation."""


@pytest.fixture(scope="module", params=STACKS)
def filled(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Filled]:
    database, numbers = STACKS[request.param]
    chosen = {"backendStore": database.name, **numbers}
    images.provide(cluster, stacks.settings("minikube", **chosen))
    folder = tmp_path_factory.mktemp("rotation")
    with temporary_stack(cluster, folder, NAMESPACE, database) as stack:
        stack.set(replicas="2", **numbers)
        stack.change("up", seconds=UP_SECONDS)
        machine = machine_of(stack, tmp_path_factory.mktemp("home"))
        alice = fill(stack, machine)
        back_up(stack)
        yield Filled(stack, machine, alice, everything(stack, machine, alice))


def held(stack: Stack) -> dict[str, str]:
    """Return the variables of the Secrets with what is rotated, the superuser's in force."""
    name, superuser = stack.database.name, SUPERUSER[stack.database.name]
    found: dict[str, str] = {}
    for secret in (f"{name}-credentials", "minio-credentials", "mlflow-keys"):
        found |= content(stack, secret)
    passwords = content(stack, f"{name}-server")
    if stack.database == POSTGRES:
        passwords |= content(stack, f"{name}-rotation")
    # MySQL's Secret has a key for each rotation: the last one, in the order of texts, is in force.
    last = max(key for key in passwords if re.fullmatch(rf"{superuser}(_\d)?", key))
    return {**found, superuser: passwords[last]}


def content(stack: Stack, secret: str) -> dict[str, str]:
    """Return the variables of a Secret; none where it does not exist."""
    shown = stack.kubectl("get", "secret", secret, "--ignore-not-found", "-o=json")
    data: Mapping[str, str] = json.loads(shown)["data"] if shown else {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def good(stack: Stack, former: Mapping[str, str]) -> dict[str, bool]:
    """Say of each former password or key whether it is still good."""
    script = POD_SCRIPTS / "try_former.py"
    said = stack.kubectl.python(SERVER, script, FORMER=json.dumps(former))
    found: dict[str, bool] = json.loads(said.splitlines()[-1])
    if stack.database == MYSQL:
        found["superuser"] = lets_root_in(stack, former[SUPERUSER[MYSQL.name]])
    return found


def lets_root_in(stack: Stack, password: str) -> bool:
    """Say whether MySQL lets its root in, on the socket of its pod."""
    asked = ("exec", "-i", "mysql-0", "--", "sh", "-c", AS_ROOT)
    said = stack.kubectl(*asked, stdin=f"{password}\n")
    refused = "Access denied" in said
    assert refused or said.split() == ["7", "7"], said
    return not refused


def lets_in(stack: Stack, env: Mapping[str, str]) -> bool:
    """Say whether a client with this environment may ask the server."""
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        answer = Raw(port, basic_login(env)).ask("GET", EXPERIMENT)
    assert answer.status in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED), answer.body
    return answer.status == HTTPStatus.OK


def restarted(stack: Stack) -> dict[str, int]:
    """Return how often the containers were restarted of each backend that a rotation leaves alone.

    They are named by the uid of their pod.
    """
    left = ("postgres", "minio") if stack.database == POSTGRES else ("minio",)
    pods = [pod for app in left for pod in stateful_pods.pods(stack, app)]
    return {pod["metadata"]["uid"]: restarts(pod) for pod in pods}


@pytest.mark.parametrize("number", [1, 2])
def test_all_is_rotated_while_a_client_logs(filled: Filled, number: int) -> None:
    stack, kubectl = filled.stack, filled.stack.kubectl
    env, former, backends = stack.client_env(), held(stack), restarted(stack)
    name = f"bob-{number}"
    bob = add_user(stack, name)
    kubectl.python(SERVER, POD_SCRIPTS / "make_admin.py", name)
    assert lets_in(stack, env)

    settings = stacks.settings("minikube", backendStore=stack.database.name)
    names = wanted("all,database", settings)
    patience = {} if stack.database == MYSQL else {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    stack.set(rotation=json.dumps(dict.fromkeys(names, number)))
    start = time.monotonic()
    with logging_meanwhile(filled.machine, {**bob, **patience}):
        stack.change("up")
    print(f"rotated in {time.monotonic() - start:.0f} s")

    done = time.monotonic()
    assert good(stack, former) == NONE_IS_GOOD
    assert not lets_in(stack, env)
    assert time.monotonic() - done < SECONDS
    assert lets_in(stack, stack.client_env())
    # Neither PostgreSQL nor the store was away.
    assert restarted(stack) == backends
    assert everything(stack, filled.machine, filled.alice)[1:] == filled.read[1:]
    assert filled.read[-1] == SECRETS
    stack.change("up", "--expect-no-changes")


def test_a_backup_made_before_is_restored_afterwards(filled: Filled) -> None:
    stack = filled.stack
    bring_back(stack, overwrite=True)
    assert everything(stack, filled.machine, filled.alice) == filled.read
