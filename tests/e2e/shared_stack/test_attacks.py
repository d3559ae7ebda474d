"""Requests that the running server refuses: every route and verb, names, origins, known attacks.

Requests are sent in the server's own pod, as they are: what an ingress would straighten reaches it.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from harness.stack import Stack
from settings.values import SERVERS_OWN_PATHS
from tests.e2e.support.attacks import (
    CANARY,
    LOCATIONS,
    OPEN,
    Attack,
    logins,
    requests_elsewhere,
    traversals,
)
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER

pytestmark = pytest.mark.login

API = "/api/2.0/mlflow"
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# What a server says that does not let anybody in, and does not tell what there is.
REFUSED = {401, 403, 404, 405}
Answer = tuple[int, str]


@dataclass(frozen=True)
class Server:
    """The tracking server, asked from within its pod."""

    stack: Stack
    users: Mapping[str, str]
    """Names and passwords, by who they are."""

    def ask(
        self, requests: Sequence[Mapping[str, Any]], at_once: int = 4
    ) -> tuple[list[Answer], list[str]]:
        """Return what was answered to each, and who called the address that nobody should."""
        said = self.stack.kubectl.python(
            SERVER,
            POD_SCRIPTS / "ask.py",
            seconds=600,
            REQUESTS=json.dumps(requests),
            LISTEN=str(CANARY),
            AT_ONCE=str(at_once),
        )
        report = json.loads(said.splitlines()[-1])
        # Its own two calls were counted, so any other would have been.
        on_purpose, callers = report["callers"][:2], report["callers"][2:]
        assert on_purpose == ["127.0.0.1", "::1"]
        return [(status, text) for status, text in report["answers"]], callers

    def request(
        self, by: str, verb: str, path: str, body: Any = None, **headers: str
    ) -> dict[str, Any]:
        """Return a request by somebody, or by nobody."""
        request = {"verb": verb, "path": path, "body": body, "headers": headers}
        return request if by == "nobody" else {**request, "login": self.users[by]}

    def do(self, by: str, verb: str, path: str, body: Any = None) -> Any:
        """Send one request that must succeed; return what it says."""
        (answer,), _ = self.ask([self.request(by, verb, path, body)])
        assert answer[0] == 200, answer
        return json.loads(answer[1]) if answer[1].startswith("{") else answer[1]

    def name(self, who: str) -> str:
        """Return the name that somebody logs in by."""
        return self.users[who].partition(":")[0]


@pytest.fixture(scope="module")
def server(stack: Stack) -> Iterator[Server]:
    """The server with two users more: alice, who has secrets, and bob, who would like them."""
    told = stack.client_env()
    admin = f"{told['MLFLOW_TRACKING_USERNAME']}:{told['MLFLOW_TRACKING_PASSWORD']}"
    # Names of their own: other modules make an alice, too.
    names = {who: f"{who}-{secrets.token_hex(4)}" for who in ("alice", "bob")}
    logged_in = {who: f"{name}:{secrets.token_hex(12)}" for who, name in names.items()}
    server = Server(stack, {"admin": admin, **logged_in})
    for login in logged_in.values():
        name, _, password = login.partition(":")
        server.do("admin", "POST", f"{API}/users/create", {"username": name, "password": password})
    yield server
    for name in names.values():
        server.do("admin", "DELETE", f"{API}/users/delete", {"username": name})


@pytest.fixture(scope="module")
def routes(stack: Stack) -> dict[str, list[str]]:
    """Every route that the server has, with the verbs that it takes."""
    said = stack.kubectl.python(SERVER, POD_SCRIPTS / "list_routes.py", seconds=120)
    found: dict[str, list[str]] = json.loads(said.splitlines()[-1])
    assert len(found) > 300
    assert {path.split("/")[1] for path in found} <= {"", *SERVERS_OWN_PATHS}
    assert {"/graphql", "/v1/traces", "/get-artifact", f"{API}/runs/search"} <= found.keys()
    return found


@dataclass(frozen=True)
class Belongings:
    """What alice has: the names by which it is asked for, and what nobody else may read."""

    secret: str
    ids: dict[str, str]

    def path(self, route: str) -> str:
        """Return a route with her things in the place of its parameters."""
        return route.format_map({**dict.fromkeys(_parameters(route), "1"), **self.ids})


def _parameters(route: str) -> list[str]:
    return [part.partition("}")[0] for part in route.split("{")[1:]]


@pytest.fixture(scope="module")
def belongings(server: Server) -> Belongings:
    return make_belongings(server)


def make_belongings(server: Server) -> Belongings:
    """Make an experiment with a run, an artifact, a model, a trace and more, all alice's."""
    secret, own = f"secret-{secrets.token_hex(8)}", f"of-alice-{secrets.token_hex(4)}"
    tags = [{"key": "t", "value": secret}]

    def make(path: str, body: Any, verb: str = "POST") -> Any:
        return server.do("alice", verb, path, body)

    experiment = make(f"{API}/experiments/create", {"name": own, "tags": tags})["experiment_id"]
    run = make(f"{API}/runs/create", {"experiment_id": experiment, "tags": tags})["run"]["info"]
    run_id = run["run_id"]
    make(f"{API}/runs/log-parameter", {"run_id": run_id, "key": "p", "value": secret})
    make(f"{API}/runs/log-metric", {"run_id": run_id, "key": "m", "value": 1, "timestamp": 1})
    dataset = {"name": secret, "digest": "d", "source_type": "local", "source": secret}
    make(f"{API}/runs/log-inputs", {"run_id": run_id, "datasets": [{"dataset": dataset}]})
    folder = f"{experiment}/{run_id}/artifacts"
    make(f"/api/2.0/mlflow-artifacts/artifacts/{folder}/s.txt", secret, "PUT")
    make(f"{API}/registered-models/create", {"name": own, "description": secret, "tags": tags})
    source = f"mlflow-artifacts:/{folder}"
    version = {"name": own, "source": source, "run_id": run_id, "tags": tags}
    make(f"{API}/model-versions/create", version)
    model = make(
        f"{API}/logged-models",
        {"experiment_id": experiment, "name": "m", "params": [{"key": "p", "value": secret}]},
    )["model"]["info"]["model_id"]
    trace = f"tr-{secrets.token_hex(16)}"
    make("/api/3.0/mlflow/traces", trace_of(trace, experiment, secret))
    kept = make(
        "/api/3.0/mlflow/datasets/create",
        {"name": f"{own}-data", "experiment_ids": [experiment], "tags": json.dumps({"t": secret})},
    )["dataset"]["dataset_id"]
    ids = {
        "artifact_path": f"{folder}/s.txt",
        "dataset_id": kept,
        "experiment_id": experiment,
        "model_id": model,
        "name": own,
        "request_id": trace,
        "run_id": run_id,
        "trace_id": trace,
        "username": server.name("alice"),
        "version": "1",
    }
    return Belongings(secret, ids)


def call(belongings: Belongings, verb: str, route: str) -> tuple[str, str, Any]:
    """Return a request to a route for what is alice's, or with it."""
    query, body = everything(belongings)
    path = belongings.path(route)
    # Where an artifact's name ends the path, a query is the rest of a name.
    if not route.endswith("{artifact_path}"):
        path += f"?{query}"
    return verb, path, None if verb == "GET" else body


def trace_of(trace: str, experiment: str, word: str) -> Any:
    """Return what a client sends of a trace when it begins."""
    return {
        "trace": {
            "trace_info": {
                "trace_id": trace,
                "trace_location": {
                    "type": "MLFLOW_EXPERIMENT",
                    "mlflow_experiment": {"experiment_id": experiment},
                },
                "request_time": "2026-01-01T00:00:00Z",
                "execution_duration": "1s",
                "state": "OK",
                "request_preview": word,
                "tags": {"t": word},
            }
        }
    }


def everything(belongings: Belongings) -> tuple[str, dict[str, Any]]:
    """Return a query and a body that name all that is alice's; a route takes what it knows."""
    ids = belongings.ids
    lists = {
        "experiment_ids": [ids["experiment_id"]],
        "experiments": [ids["experiment_id"]],
        "run_ids": [ids["run_id"]],
        "trace_ids": [ids["trace_id"]],
        "request_ids": [ids["trace_id"]],
        "model_ids": [ids["model_id"]],
    }
    more = {
        "run_uuid": ids["run_id"],
        "path": "s.txt",
        "artifact_file_path": "s.txt",
        "key": "t",
        "metric_key": "m",
        "param_key": "p",
        "max_results": 5,
        "new_name": f"{ids['name']}-taken",
        "alias": "a",
        "stage": "Archived",
        "password": "taken-over-by-bob",
        "max_timestamp_millis": 9999999999999,
    }
    named = [{"key": "taken", "value": "taken"}]
    dataset = {"name": "taken", "digest": "d", "source_type": "local", "source": "taken"}
    changes = {
        # Also a metric's.
        "value": "7",
        "timestamp": 2,
        "metrics": [{"key": "taken", "value": 7, "timestamp": 2}],
        "params": named,
        "tags": named,
        "datasets": [{"dataset": dataset}],
        "models": [{"model_id": ids["model_id"], "step": 1}],
        "model_json": json.dumps(
            {
                "run_id": ids["run_id"],
                "artifact_path": "taken",
                "flavors": {},
                "utc_time_created": "2026-01-01 00:00:00",
            }
        ),
        "run_name": "taken",
        "end_time": 2,
        "description": "taken",
        "source": f"runs:/{ids['run_id']}/s.txt",
        "is_admin": True,
        "resource_type": "experiment",
        "resource_id": ids["experiment_id"],
        "permission": "MANAGE",
        "locations": [
            {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": ids["experiment_id"]},
            }
        ],
    }
    pairs = [(key, str(value)) for key, value in {**ids, **more}.items()]
    pairs += [(key, value) for key, values in lists.items() for value in values]
    query = "&".join(f"{key}={value}" for key, value in pairs)
    return query, {**ids, **more, **lists, **changes}


def test_nothing_is_answered_without_a_login(
    server: Server, routes: dict[str, list[str]], belongings: Belongings
) -> None:
    # One slash more, also encoded, is another path to some, and the same one to others.
    asked = [
        (verb, belongings.path(route), slashes)
        for slashes in ("/", "//", "/%2f")
        for route, verbs in routes.items()
        for verb in (VERBS if slashes == "/" else verbs)
    ]
    answers, _ = server.ask(
        [
            server.request("nobody", verb, slashes + path.removeprefix("/"))
            for verb, path, slashes in asked
        ]
    )
    answered = [
        one for one, (status, _) in zip(asked, answers, strict=True) if status not in REFUSED
    ]
    print(f"{len(routes)} routes: {Counter(status for status, _ in answers)}")
    assert [one for one in answered if one[1] not in OPEN] == []
    assert {path for _, path, slashes in answered if slashes == "/"} == OPEN
    assert {verb for verb, _, _ in answered} <= {"GET", "HEAD", "OPTIONS"}


def views(server: Server, belongings: Belongings) -> list[dict[str, Any]]:
    """Return the requests by which the admin sees all that is alice's."""
    ids = belongings.ids
    folder = ids["artifact_path"].removesuffix("/s.txt")
    listing = "/api/2.0/mlflow-artifacts/artifacts?path="
    paths = [
        f"{API}/experiments/get?experiment_id={ids['experiment_id']}",
        f"{API}/runs/get?run_id={ids['run_id']}",
        f"{API}/artifacts/list?run_id={ids['run_id']}",
        f"{listing}{ids['experiment_id']}",
        f"{listing}{folder}",
        f"/get-artifact?run_uuid={ids['run_id']}&path=s.txt",
        f"{API}/registered-models/get?name={ids['name']}",
        f"{API}/model-versions/get?name={ids['name']}&version=1",
        f"{API}/logged-models/{ids['model_id']}",
        f"/api/3.0/mlflow/traces/{ids['trace_id']}",
        f"/api/3.0/mlflow/datasets/{ids['dataset_id']}",
        *(f"{API}/users/get?username={server.name(who)}" for who in ("alice", "bob")),
    ]
    return [server.request("admin", "GET", path) for path in paths]


def state(server: Server, belongings: Belongings) -> list[Answer]:
    """Return all that is alice's, as the admin sees it."""
    asked = views(server, belongings)
    answers, _ = server.ask(asked)
    assert {status for status, _ in answers} == {200}, list(zip(asked, answers, strict=True))
    return answers


def test_no_user_reads_or_changes_what_is_anothers(
    server: Server, routes: dict[str, list[str]], belongings: Belongings
) -> None:
    before = state(server, belongings)
    asked = [
        call(belongings, verb, route)
        for route, verbs in routes.items()
        for verb in verbs
        if verb not in ("HEAD", "OPTIONS")
    ]
    run = f'(input: {{runId: "{belongings.ids["run_id"]}"}})'
    asked.append(
        (
            "POST",
            "/graphql",
            {"query": f"{{mlflowGetRun{run} {{run {{data {{params {{value}}}}}}}}}}"},
        )
    )
    answers, _ = server.ask([server.request("bob", *one) for one in asked])
    got = list(zip(asked, answers, strict=True))
    assert [one[:2] for one, (_, text) in got if belongings.secret in text] == []
    assert [one[:2] for one, (status, _) in got if not status] == []
    assert state(server, belongings) == before
    # The same requests tell alice a lot: what is refused above is not refused for being wrong.
    reads = [one for one in asked if one[0] == "GET"]
    hers, _ = server.ask([server.request("alice", *one) for one in reads])
    tell = [one for one, (_, text) in zip(reads, hers, strict=True) if belongings.secret in text]
    print(f"bob: {Counter(status for status, _ in answers)}; {len(tell)} requests tell alice")
    assert len(tell) >= 20


def test_no_user_writes_examples_where_somebody_may_have_an_experiment(server: Server) -> None:
    ((status, _),), _ = server.ask(
        [server.request("bob", "POST", "/ajax-api/3.0/mlflow/demo/generate", {"features": []})]
    )
    assert status == 403


# In an order in which each finds what it changes.
CHANGES = [
    ("POST", f"{API}/runs/update"),
    ("POST", f"{API}/runs/set-tag"),
    ("POST", f"{API}/runs/log-metric"),
    ("POST", f"{API}/runs/log-parameter"),
    ("POST", f"{API}/runs/log-batch"),
    ("POST", f"{API}/runs/log-inputs"),
    ("POST", f"{API}/runs/outputs"),
    ("POST", f"{API}/runs/log-model"),
    ("POST", f"{API}/experiments/set-experiment-tag"),
    ("POST", f"{API}/experiments/update"),
    ("PATCH", f"{API}/registered-models/update"),
    ("POST", f"{API}/registered-models/set-tag"),
    ("POST", f"{API}/registered-models/alias"),
    ("PATCH", f"{API}/model-versions/update"),
    ("POST", f"{API}/model-versions/set-tag"),
    ("POST", f"{API}/model-versions/transition-stage"),
    ("POST", f"{API}/logged-models/{{model_id}}/params"),
    ("PATCH", f"{API}/logged-models/{{model_id}}/tags"),
    ("PATCH", "/api/3.0/mlflow/traces/{trace_id}/tags"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/{artifact_path}"),
    ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/{artifact_path}"),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact"),
    ("POST", f"{API}/runs/delete-tag"),
    ("DELETE", f"{API}/registered-models/delete-tag"),
    ("DELETE", f"{API}/registered-models/alias"),
    ("DELETE", f"{API}/model-versions/delete-tag"),
    ("DELETE", f"{API}/model-versions/delete"),
    ("DELETE", f"{API}/registered-models/delete"),
    ("DELETE", f"{API}/logged-models/{{model_id}}"),
    ("DELETE", "/api/3.0/mlflow/datasets/{dataset_id}"),
    ("POST", f"{API}/runs/delete"),
    ("POST", f"{API}/runs/restore"),
    ("POST", f"{API}/experiments/delete"),
]


def test_what_changes_nothing_for_others_changes_it_for_its_owner(
    server: Server, routes: dict[str, list[str]]
) -> None:
    own = make_belongings(server)
    assert [route for verb, route in CHANGES if verb not in routes.get(route, [])] == []
    look = views(server, own)
    asked = [*look]
    for verb, route in CHANGES:
        asked += [server.request("alice", *call(own, verb, route)), *look]
    answers, _ = server.ask(asked, at_once=1)
    step = 1 + len(look)
    seen = [answers[start : start + len(look)] for start in range(0, len(answers), step)]
    said = [answers[start - 1] for start in range(step, len(answers), step)]
    without_effect = [
        (change, answer)
        for change, answer, before, after in zip(CHANGES, said, seen, seen[1:], strict=False)
        if before == after
    ]
    assert without_effect == []


def test_forged_names_are_refused_and_all_true_ones_served(server: Server) -> None:
    own = f"{server.stack.namespace}-server.local"
    service = ["mlflow", f"mlflow.{server.stack.namespace}", f"mlflow.{server.stack.namespace}.svc"]
    service.append(f"{service[-1]}.cluster.local")
    addresses = ["127.0.0.1", "[::1]", "10.244.0.7", "172.16.0.1", "172.31.255.9", "192.168.49.2"]
    true = [own, *service, "localhost", *addresses]
    served = [f"{name}{port}" for name in true for port in ("", ":80", ":443", ":5000", ":31234")]
    forged = [
        *(f"{name}.evil.example" for name in (own, *service, "localhost", *addresses)),
        *(f"evil.example.{name}" for name in (own, *service)),
        *(f"{name}@evil.example" for name in (own, "localhost", "mlflow")),
        *(f"evil{name}" for name in (own, *service, "localhost")),
        *(
            "evil.example",
            "evil.example:5000",
            "evil.example:80",
            "EVIL.EXAMPLE",
            "xn--evil.example",
        ),
        *("10.evil.example", "10.1.2.evil", "192.168.evil.example", "172.16.evil.example:5000"),
        *("8.8.8.8", "11.1.2.3", "172.32.0.1", "172.15.0.1", "192.169.0.1", "169.254.169.254"),
        *("1.10.1.2.3", "10.1.2.3.4", "[::2]", "[fe80::1]", "0x7f000001", "2130706433", "127.1"),
        *("kubernetes.default.svc", "postgres", "mlflow.other.svc", "", "*", "%", "localhost%00"),
    ]
    assert len(forged) >= 50
    path = f"{API}/experiments/search?max_results=1"
    answers, _ = server.ask(
        [server.request("admin", "GET", path, Host=name) for name in (*served, *forged)]
    )
    got = {name: status for name, (status, _) in zip((*served, *forged), answers, strict=True)}
    assert {name: got[name] for name in served if got[name] != 200} == {}
    assert {name: got[name] for name in forged if got[name] != 403} == {}


def test_pages_of_others_change_nothing(server: Server) -> None:
    own = f"{server.stack.namespace}-server.local"
    foreign = [
        f"{scheme}://{name}"
        for scheme in ("http", "https")
        for name in (
            *(f"evil.example{port}" for port in ("", ":80", ":443", ":5000", ":8080")),
            *(f"{own}.evil.example", f"evil.example.{own}", f"evil{own}", f"{own}:8080"),
            *("localhost.evil.example", "127.0.0.1.evil.example", "10.1.2.3", "192.168.49.2"),
            *("mlflow.evil", "xn--evil.example", "EVIL.EXAMPLE", "[::2]", "0x7f000001", "8.8.8.8"),
            *(f"evil.example#{own}", f"evil.example?{own}", f"evil.example/{own}"),
            *(f"{own}@evil.example", "evil.example@localhost.evil", "localhost%2eevil.example"),
        )
    ]
    foreign += ["null", "file://", "data:text/html,x", "chrome-extension://x", "*", "evil.example"]
    assert len(foreign) >= 50
    call = (f"{API}/experiments/create", {"name": f"by-a-page-{secrets.token_hex(4)}"})
    answers, _ = server.ask(
        [server.request("admin", "POST", *call, Origin=origin) for origin in foreign]
    )
    let_in = [origin for origin, (status, _) in zip(foreign, answers, strict=True) if status != 403]
    assert not let_in
    (mine,), _ = server.ask([server.request("admin", "POST", *call, Origin=f"http://{own}")])
    assert mine[0] == 200


def harmful(attack: Attack, answer: Answer) -> bool:
    """Say whether an attack got somewhere, or was answered in a way that shows no refusal."""
    status, text = answer
    if attack.harmless and attack.harmless in text:
        return False
    leaks = ("root:x:0", "MLFLOW_BACKEND_STORE_URI", "AWS_SECRET", "canary", "experiment_id")
    if any(leak in text for leak in leaks):
        return True
    if attack.refusal:
        return status != 400 or attack.refusal not in text
    return not 400 <= status < 500 or (status == 404 and not attack.twin)


def replay(server: Server, attacks: Sequence[Attack]) -> None:
    """Send all of them; none may get anywhere, nor make the server call the canary."""
    answers, callers = server.ask(
        [
            {
                **server.request(one.by, one.verb, one.path, one.body, **one.headers),
                **({"login": one.login} if one.login else {}),
            }
            for one in attacks
        ]
    )
    print(f"{len(attacks)} attacks: {Counter(status for status, _ in answers)}")
    got = [(one, answer) for one, answer in zip(attacks, answers, strict=True)]
    assert [(one.name, answer) for one, answer in got if harmful(one, answer)] == []
    assert not callers
    for one in attacks:
        if one.twin:
            server.do(one.by, one.verb, one.twin)


def test_paths_lead_nowhere_out_of_the_store(server: Server, belongings: Belongings) -> None:
    replay(server, traversals(belongings.ids["run_id"], belongings.ids["name"]))


def test_nobody_gets_in_by_a_default_or_past_the_login(
    server: Server, routes: dict[str, list[str]]
) -> None:
    straight = [one for one in logins() if not one.name.startswith("past it")]
    assert {one.path.partition("?")[0] for one in straight} <= routes.keys()
    replay(server, logins())


def test_the_server_calls_nobody_it_is_told_to(server: Server) -> None:
    replay(server, requests_elsewhere())


def test_artifacts_are_kept_nowhere_else(server: Server, belongings: Belongings) -> None:
    name, prefix = belongings.ids["name"], f"elsewhere-{secrets.token_hex(4)}"
    asked = [
        *((f"{API}/model-versions/create", {"name": name, "source": one}) for one in LOCATIONS),
        *(
            (f"{API}/experiments/create", {"name": f"{prefix}-{number}", "artifact_location": one})
            for number, one in enumerate(LOCATIONS)
        ),
    ]
    answers, callers = server.ask([server.request("admin", "POST", *one) for one in asked])
    got = zip(asked, answers, strict=True)
    assert [(one, answer) for one, answer in got if answer[0] != 400] == []
    assert not callers
    versions = f"{API}/model-versions/search?filter=name%3D%27{name}%27"
    found = server.do("admin", "GET", versions)["model_versions"]
    assert [one["version"] for one in found] == ["1"]
    search = {"filter": f"name LIKE '{prefix}%'", "max_results": 1}
    assert server.do("admin", "POST", f"{API}/experiments/search", search) == {}


def make_run_of_bob(server: Server) -> tuple[str, str, str]:
    """Return the name and the id of an experiment of bob's, and the id of a run in it."""
    name = f"of-bob-{secrets.token_hex(4)}"
    made = server.do("bob", "POST", f"{API}/experiments/create", {"name": name})
    experiment = made["experiment_id"]
    run = server.do("bob", "POST", f"{API}/runs/create", {"experiment_id": experiment})["run"]
    return name, experiment, run["info"]["run_id"]


def spans_of(trace: str) -> Any:
    """Return what OpenTelemetry sends of a trace: one span."""
    span = {
        "traceId": trace.removeprefix("tr-"),
        "spanId": secrets.token_hex(8),
        "name": "taken",
        "startTimeUnixNano": "1767225600000000000",
        "endTimeUnixNano": "1767225601000000000",
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def test_nobody_takes_anothers_trace_or_puts_his_own_to_anothers_run(
    server: Server, belongings: Belongings
) -> None:
    ids = belongings.ids
    _, experiment, run = make_run_of_bob(server)

    def spans(trace: str, **headers: str) -> dict[str, Any]:
        headers = {"X-Mlflow-Experiment-Id": experiment, **headers}
        return server.request("bob", "POST", "/v1/traces", spans_of(trace), **headers)

    def link(trace: str, run: str) -> dict[str, Any]:
        body = {"trace_ids": [trace], "run_id": run}
        return server.request("bob", "POST", f"{API}/traces/link-to-run", body)

    def new() -> str:
        return f"tr-{secrets.token_hex(16)}"

    before = state(server, belongings)
    his = new()
    of_run = "X-Mlflow-Run-Id"
    accepted = [spans(his), spans(new(), **{of_run: run}), link(his, run)]
    taken = trace_of(ids["trace_id"], experiment, "taken")
    refused = [
        server.request("bob", "POST", "/api/3.0/mlflow/traces", taken),
        spans(ids["trace_id"]),
        spans(ids["trace_id"], **{of_run: run}),
        spans(new(), **{of_run: ids["run_id"]}),
        spans(new(), **{of_run: "0" * 32}),
        link(ids["trace_id"], run),
        link(his, ids["run_id"]),
    ]
    answers, _ = server.ask([*accepted, *refused], at_once=1)
    wanted = [200] * len(accepted) + [403] * len(refused)
    assert [status for status, _ in answers] == wanted, answers
    assert state(server, belongings) == before


def test_nobody_gets_at_anothers_artifacts_through_what_is_his_own(
    server: Server, belongings: Belongings
) -> None:
    ids = belongings.ids
    hers = ids["artifact_path"].removesuffix("/s.txt")
    name, experiment, run_id = make_run_of_bob(server)
    location = f"{API}/experiments/create"
    his = f"{experiment}/{run_id}/artifacts"
    server.do("bob", "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{his}/s.txt", "of bob")
    server.do("bob", "POST", f"{API}/registered-models/create", {"name": name})
    before = state(server, belongings)

    def read(name: str, version: str, path: str = "s.txt") -> str:
        return f"/model-versions/get-artifact?name={name}&version={version}&path={path}"

    root = server.stack.outputs()["artifact_root"]
    sources = [
        *(f"{root}/{hers}", f"{root}/{hers}/s.txt", f"{root}/{ids['experiment_id']}", root),
        *(f"mlflow-artifacts:/{hers}", f"mlflow-artifacts:///{hers}", "mlflow-artifacts:/"),
        *(f"mlflow-artifacts:/{his}/{up * 3}{hers}" for up in ("../", "%2e%2e/", "%252e%252e/")),
        f"http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/{hers}",
        *(f"runs:/{ids['run_id']}/{path}" for path in ("s.txt", ".", "")),
        *(f"models:/{ids['name']}/1", f"models:/{ids['model_id']}"),
    ]
    anchors = [
        *({}, {"run_id": ids["run_id"]}, {"model_id": ids["model_id"]}),
        {"run_id": run_id},
    ]
    asked = [
        (f"{API}/model-versions/create", {"name": name, "source": source, **anchor})
        for source in sources
        for anchor in anchors
    ]
    asked += [
        (location, {"name": f"{name}-{number}", "artifact_location": source})
        for number, source in enumerate(sources)
    ]
    answers, callers = server.ask([server.request("bob", "POST", *one) for one in asked])
    assert not callers
    made = [
        (body, json.loads(text))
        for (_, body), (status, text) in zip(asked, answers, strict=True)
        if status == 200
    ]
    for body, _ in made:
        print(f"made: {body}")
    versions = [one["model_version"]["version"] for _, one in made if "model_version" in one]
    experiments = [one["experiment_id"] for _, one in made if "experiment_id" in one]
    runs = [
        server.do("bob", "POST", f"{API}/runs/create", {"experiment_id": one})["run"]["info"]
        for one in experiments
    ]
    upload = "/ajax-api/2.0/mlflow/upload-artifact"
    tries = [
        *(
            ("GET", path, None)
            for version in versions
            for path in (
                *(read(name, version, file) for file in ("s.txt", f"{hers}/s.txt", ".")),
                f"{API}/model-versions/get-download-uri?name={name}&version={version}",
            )
        ),
        *(
            (verb, f"{path}={one['run_id']}&path=s.txt", body)
            for one in runs
            for verb, path, body in (
                ("POST", f"{upload}?run_uuid", "taken"),
                ("GET", "/get-artifact?run_uuid", None),
                ("GET", f"{API}/artifacts/list?run_id", None),
            )
        ),
    ]
    answers, callers = server.ask([server.request("bob", *one) for one in tries])
    assert not callers
    got = zip(tries, answers, strict=True)
    assert [one for one, (_, text) in got if belongings.secret in text] == []
    assert state(server, belongings) == before
    # By the same routes everybody gets at what is theirs.
    assert belongings.secret in server.do("alice", "GET", read(ids["name"], "1"))
    version = {"name": name, "source": f"mlflow-artifacts:/{his}", "run_id": run_id}
    own = server.do("bob", "POST", f"{API}/model-versions/create", version)["model_version"]
    assert server.do("bob", "GET", read(name, own["version"])) == "of bob"
