"""A backend that does not answer, and the check that the server survives this."""

import base64
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from harness.ledger import faults
from harness.ledger.faults import Target
from harness.stack import Stack, basic_login
from harness.waiting import wait_until
from tests.e2e.support.interruptions import container_ids

SICK_SECONDS = 8
# The kubelet gives up on a probe after 5 s.
PROMPT_SECONDS = 2.0
STORED = "/api/2.0/mlflow-artifacts/artifacts/0/sick/artifacts/a.txt"
SPANS = (
    b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c",'
    b'"spanId":"b7ad6b7169203331","name":"a","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}'
)
# One for each way in which MLflow serves a request: its own coroutines, Flask, and artifacts.
REQUESTS = [
    ("PUT", STORED, b"a"),
    ("GET", STORED, None),
    ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", None),
    ("GET", "/ajax-api/3.0/mlflow/mcp-servers", None),
    ("POST", "/ajax-api/3.0/jobs/search", b"{}"),
    ("GET", "/gateway/mlflow/v1/models", None),
    ("POST", "/v1/traces", SPANS),
]


def ask(  # noqa: PLR0917 (a request)
    port: int, verb: str, path: str, body: bytes | None = None, login: str = "", seconds: float = 60
) -> tuple[int, float]:
    """Return the status of an answer, 0 for none, and how long it took."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    headers = {"Content-Type": "application/json", "X-Mlflow-Experiment-Id": "0"}
    try:
        connection.request(verb, path, body, headers | ({"Authorization": login} if login else {}))
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began
    except (OSError, http.client.HTTPException):
        return 0, time.monotonic() - began
    finally:
        connection.close()


class Probing:
    """Asks `/health` and `/health/ready` as the kubelet does, and notes the answers."""

    def __init__(self, port: int) -> None:
        self.answers: dict[str, list[tuple[int, float]]] = {"/health": [], "/health/ready": []}
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._probe, args=(port, path), daemon=True)
            for path in self.answers
        ]

    def __enter__(self) -> "Probing":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _probe(self, port: int, path: str) -> None:
        while not self._ended.wait(0.2):
            self.answers[path].append(ask(port, "GET", path, seconds=20))

    def assert_alive(self) -> None:
        alive = self.answers["/health"]
        assert len(alive) > SICK_SECONDS
        assert {status for status, _ in alive} == {200}, Counter(alive)
        assert max(seconds for _, seconds in alive) < PROMPT_SECONDS


def locked_users(stack: Stack) -> None:
    stack.database.hold_users(stack.kubectl, SICK_SECONDS + 2)


def database_stopped(stack: Stack) -> None:
    faults.stopped(Target.of(stack.kubectl), stack.database.name, SICK_SECONDS + 2)


def database_cut_off(stack: Stack) -> None:
    faults.cut_off(Target.of(stack.kubectl), stack.database.name, SICK_SECONDS + 2)


def store_stopped(stack: Stack) -> None:
    faults.stopped(Target.of(stack.kubectl), "minio", SICK_SECONDS + 2)


HARMS: dict[str, Callable[[Stack], None]] = {
    "users locked": locked_users,
    "database stopped": database_stopped,
    "database cut off": database_cut_off,
    "store stopped": store_stopped,
}


def assert_lives_and_comes_back(stack: Stack, port: int, harm: str) -> None:
    before = container_ids(stack.kubectl.pod("mlflow"))
    login = basic_login(stack.client_env())
    for verb, path, body in REQUESTS:
        assert ask(port, verb, path, body, login)[0] == 200, path
    with Probing(port) as probing, ThreadPoolExecutor(64) as clients:
        harming = clients.submit(HARMS[harm], stack)
        time.sleep(1)
        # Some of them are known already; the names of the others are looked up first.
        asked = [
            clients.submit(ask, port, verb, path, body, whose, 110)
            for verb, path, body in REQUESTS
            for whose in [login] * 4 + [guess(one) for one in range(4)]
        ]
        time.sleep(SICK_SECONDS)
        ready = probing.answers["/health/ready"][-1]
        harming.result()
        answered = Counter(one.result()[0] for one in asked)
    print(harm, dict(answered), "ready:", ready)
    probing.assert_alive()
    assert max(seconds for _, seconds in probing.answers["/health/ready"]) < 5
    assert ready[0] == (200 if harm == "store stopped" else 503)
    # Late, or told to come again; never taken for a wrong password, and never lost.
    assert set(answered) <= {200, 401, 429, 503}
    assert answered[401] + answered[429] + answered[503] >= 4 * len(REQUESTS)
    wait_until(partial(stack.kubectl.is_ready, "mlflow"), 60, "the server is ready again")
    for verb, path, body in REQUESTS:
        status = partial(ask, port, verb, path, body, login, 20)
        wait_until(lambda: status()[0] == 200, 60, f"{path} is answered again")  # noqa: B023
    assert container_ids(stack.kubectl.pod("mlflow")) == before


def guess(number: int, name: str = "admin") -> str:
    return "Basic " + base64.b64encode(f"{name}:a wrong password {number}".encode()).decode()
