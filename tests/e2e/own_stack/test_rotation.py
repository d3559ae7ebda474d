"""Everything that `make rotate WHAT=all` rotates, twice, while a client logs to two servers.

The client repeats no call. What was stored before can be read, and what was good is refused.
"""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import pytest

from commands.rotate import wanted
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.kubectl import restarts
from harness.stack import Stack, basic_login
from tests.e2e.support import numbers_of_servers, stateful_pods
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
READ = ("postgres-server", "postgres-credentials", "minio-credentials", "mlflow-keys")
"""The Secrets with what is rotated; the superuser's password is in the first one until then."""
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


@pytest.fixture(scope="module", params=NUMBERS)
def filled(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Filled]:
    numbers_of_servers.provide(cluster, request.param)
    with temporary_stack(cluster, tmp_path_factory.mktemp("rotation"), NAMESPACE) as stack:
        stack.set(replicas="2", **NUMBERS[request.param])
        stack.change("up", seconds=UP_SECONDS)
        machine = machine_of(stack, tmp_path_factory.mktemp("home"))
        alice = fill(stack, machine)
        back_up(stack)
        yield Filled(stack, machine, alice, everything(stack, machine, alice))


def held(stack: Stack) -> dict[str, str]:
    """Return the variables of the Secrets with what is rotated."""
    found: dict[str, str] = {}
    for name in READ:
        data: Mapping[str, str] = stack.kubectl.json("get", "secret", name)["data"]
        found |= {key: base64.b64decode(value).decode() for key, value in data.items()}
    rotated = stack.kubectl("get", "secret", "postgres-rotation", "--ignore-not-found", "-o=json")
    if rotated:
        value = json.loads(rotated)["data"]["POSTGRES_PASSWORD"]
        found["POSTGRES_PASSWORD"] = base64.b64decode(value).decode()
    return found


def lets_in(stack: Stack, env: Mapping[str, str]) -> bool:
    """Say whether a client with this environment may ask the server."""
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        answer = Raw(port, basic_login(env)).ask("GET", EXPERIMENT)
    assert answer.status in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED), answer.body
    return answer.status == HTTPStatus.OK


def restarted(stack: Stack) -> dict[str, int]:
    """Return how often each backend's containers were restarted, by the uid of its pod."""
    pods = [pod for app in ("postgres", "minio") for pod in stateful_pods.pods(stack, app)]
    return {pod["metadata"]["uid"]: restarts(pod) for pod in pods}


@pytest.mark.parametrize("number", [1, 2])
def test_all_is_rotated_while_a_client_logs(filled: Filled, number: int) -> None:
    stack, kubectl = filled.stack, filled.stack.kubectl
    env, former, backends = stack.client_env(), held(stack), restarted(stack)
    name = f"bob-{number}"
    bob = add_user(stack, name)
    kubectl.python(SERVER, POD_SCRIPTS / "make_admin.py", name)
    assert lets_in(stack, env)

    names = wanted("all", stacks.settings("minikube"))
    stack.set(rotation=json.dumps(dict.fromkeys(names, number)))
    start = time.monotonic()
    with logging_meanwhile(filled.machine, {**bob, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):
        stack.change("up")
    print(f"rotated in {time.monotonic() - start:.0f} s")

    done = time.monotonic()
    said = kubectl.python(SERVER, POD_SCRIPTS / "try_former.py", FORMER=json.dumps(former))
    assert json.loads(said.splitlines()[-1]) == NONE_IS_GOOD
    assert not lets_in(stack, env)
    assert time.monotonic() - done < SECONDS
    assert lets_in(stack, stack.client_env())
    # Neither the database nor the store was away.
    assert restarted(stack) == backends
    assert everything(stack, filled.machine, filled.alice)[1:] == filled.read[1:]
    assert filled.read[-1] == SECRETS
    stack.change("up", "--expect-no-changes")


def test_a_backup_made_before_is_restored_afterwards(filled: Filled) -> None:
    stack = filled.stack
    bring_back(stack, overwrite=True)
    assert everything(stack, filled.machine, filled.alice) == filled.read
