"""The server survives backends that do not answer, and strangers who keep it busy."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.stack import Stack, basic_login
from tests.e2e.support.unresponsive_backends import (
    HARMS,
    PROMPT_SECONDS,
    REQUESTS,
    Probing,
    ask,
    assert_lives_and_comes_back,
    guess,
)

pytestmark = pytest.mark.failure


@pytest.fixture(scope="module")
def port(stack: Stack) -> Iterator[int]:
    with stack.kubectl.forwarded("service/mlflow", 5000) as forwarded:
        yield forwarded


@pytest.mark.parametrize("harm", HARMS)
def test_a_server_lives_while_what_it_needs_is_sick_and_comes_back(
    stack: Stack, port: int, harm: str
) -> None:
    assert_lives_and_comes_back(stack, port, harm)


def test_strangers_who_try_passwords_keep_nobody_waiting(stack: Stack, port: int) -> None:
    known: Mapping[str, str] = stack.client_env()
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    # Both workers know the admin.
    for _ in range(8):
        assert ask(port, "GET", path, login=basic_login(known))[0] == 200
    with Probing(port) as probing, ThreadPoolExecutor(100) as strangers:
        tries = [
            strangers.submit(ask, port, *REQUESTS[one % len(REQUESTS)], guess(one))
            for one in range(400)
        ]
        time.sleep(0.5)
        answers = [ask(port, "GET", path, login=basic_login(known)) for _ in range(5)]
        answered = Counter(one.result()[0] for one in tries)
    print(dict(answered), answers)
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < 5
    assert set(answered) <= {401, 429}
    alive = probing.answers["/health"] + probing.answers["/health/ready"]
    assert {status for status, _ in alive} == {200}
    assert max(seconds for _, seconds in alive) < PROMPT_SECONDS
