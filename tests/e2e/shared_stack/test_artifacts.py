"""Ranges, preconditions and HEAD for artifacts, and the names that artifacts may have."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness import pod_processes
from harness.crowd import MORE_THAN_WAITS, Crowd
from harness.kubectl import restarts
from harness.pod_memory import Memory
from harness.stack import Stack, basic_login
from tests.e2e.support.raw_http import Raw
from tests.e2e.support.users import add_user

pytestmark = pytest.mark.store

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
CONTENT = b"0123456789" * 100_000
ROUTES: tuple[str, ...] = (
    "proxy",
    "page's proxy",
    "page",
    "model version",
    "logged model",
    "trace",
)


@dataclass(frozen=True)
class Owned:
    """A run of a user's, in an experiment that is theirs."""

    owner: Raw
    other: Raw
    stranger: Raw
    experiment: str
    run: str
    routes: dict[str, str]
    """By each of the ways to it, the path of one and the same content."""

    @property
    def folder(self) -> str:
        return f"{PROXY}/{self.experiment}/{self.run}/artifacts"


@pytest.fixture(scope="module")
def owned(stack: Stack) -> Iterator[Owned]:
    logins = [basic_login(add_user(stack, name)) for name in ("carol", "dave")]
    with stack.kubectl.forwarded("service/mlflow", 5000) as port:
        yield make(*(Raw(port, login) for login in (*logins, None)))


def make(owner: Raw, other: Raw, stranger: Raw) -> Owned:
    named = f"artifacts {uuid.uuid4().hex}"
    experiment = owner.call("2.0/mlflow/experiments/create", name=named)["experiment_id"]
    run = owner.call("2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    model = owner.call("2.0/mlflow/logged-models", experiment_id=experiment, name="m")
    model_id = model["model"]["info"]["model_id"]
    owner.call("2.0/mlflow/registered-models/create", name=named)
    version = {"name": named, "source": f"models:/{model_id}", "model_id": model_id}
    owner.call("2.0/mlflow/model-versions/create", **version)
    trace, attachment = f"tr-{uuid.uuid4().hex}", str(uuid.uuid4())
    place = {
        "type": "MLFLOW_EXPERIMENT",
        "mlflow_experiment": {"experiment_id": experiment},
    }
    info = {"trace_id": trace, "trace_location": place, "state": "OK"}
    info["request_time"] = "2026-01-01T00:00:00Z"
    owner.call("3.0/mlflow/traces", trace={"trace_info": info})
    folders = (
        f"{run}/artifacts/x.png",
        f"models/{model_id}/artifacts/x.png",
        f"traces/{trace}/artifacts/attachments/{attachment}",
    )
    for path in folders:
        assert owner.ask("PUT", f"{PROXY}/{experiment}/{path}", CONTENT).status == 200
    ajax = "/ajax-api/2.0/mlflow"
    routes = (
        f"{PROXY}/{experiment}/{folders[0]}",
        f"/ajax-api/2.0/mlflow-artifacts/artifacts/{experiment}/{folders[0]}",
        f"/get-artifact?run_uuid={run}&path=x.png",
        f"/model-versions/get-artifact?name={quote(named)}&version=1&path=x.png",
        f"{ajax}/logged-models/{model_id}/artifacts/files?artifact_file_path=x.png",
        f"{ajax}/get-trace-artifact?request_id={trace}&path={attachment}",
    )
    by_route: dict[str, str] = dict(zip(ROUTES, routes, strict=True))
    return Owned(owner, other, stranger, experiment, run, by_route)


@pytest.mark.parametrize("route", ROUTES)
def test_head_tells_what_get_would_and_to_nobody_else(owned: Owned, route: str) -> None:
    path = owned.routes[route]
    whole = owned.owner.ask("GET", path)
    assert (whole.status, whole.body) == (200, CONTENT)
    head = owned.owner.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    told = ("Content-Length", "Content-Type", "Content-Disposition", "ETag", "Last-Modified")
    for name in (*told, "Accept-Ranges", "Cache-Control", "X-Content-Type-Options"):
        assert head.headers[name] == whole.headers[name] is not None, name
    assert head.headers["Content-Length"] == str(len(CONTENT))
    for method in ("GET", "HEAD"):
        assert owned.other.ask(method, path).status == 403
        assert owned.stranger.ask(method, path).status == 401
    options = owned.owner.ask("OPTIONS", path)
    assert options.status == 204
    assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["Allow"].split(", "))
    assert owned.stranger.ask("OPTIONS", path).status == 401


@pytest.mark.parametrize("route", ROUTES)
def test_a_part_and_a_newer_version_can_be_asked_for(owned: Owned, route: str) -> None:
    path, size = owned.routes[route], len(CONTENT)
    tag = owned.owner.ask("HEAD", path).headers["ETag"]

    def asked(**headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = owned.owner.ask("GET", path, headers=named)
        return answer.status, answer.body

    assert asked(Range="bytes=7-11") == (206, b"78901")
    assert asked(Range="bytes=-3") == (206, b"789")
    assert asked(Range=f"bytes={size - 2}-{size + 5}") == (206, b"89")
    assert asked(Range=f"bytes={size}-") == (416, b"")
    assert asked(Range="bytes=0-1,5-6") == (200, CONTENT)  # which RFC 9110 (14.2) permits
    assert asked(Range="bytes=0-1", If_Range=tag) == (206, b"01")
    assert asked(Range="bytes=0-1", If_Range='"older"') == (200, CONTENT)
    assert asked(If_None_Match=tag) == (304, b"")
    assert asked(If_None_Match='"older"') == (200, CONTENT)
    assert asked(If_Match='"older"') == (412, b"")


@pytest.mark.parametrize("route", ["proxy", "page", "logged model"])
def test_what_is_missing_is_missed_by_head_as_well(owned: Owned, route: str) -> None:
    path = owned.routes[route].replace("x.png", "y.png")
    assert [owned.owner.ask(method, path).status for method in ("GET", "HEAD")] == [404, 404]


def test_an_upload_says_what_it_is(owned: Owned) -> None:
    path, owner = f"{owned.folder}/upload", owned.owner
    assert owner.ask("PUT", path, iter([b"no ", b"length"])).status == 200
    assert owner.ask("GET", path).body == b"no length"
    # A part would take the place of the whole.
    part = owner.ask("PUT", path, b"part", {"Content-Range": "bytes 0-3/9"})
    assert (part.status, part.message) == (400, "Content-Range: an artifact is stored whole")
    for condition in ({"If-None-Match": "*"}, {"If-Match": '"older"'}):
        assert owner.ask("PUT", path, b"other", condition).status == 412
    assert owner.ask("GET", path).body == b"no length"
    tag = owner.ask("HEAD", path).headers["ETag"]
    assert owner.ask("PUT", path, b"newer", {"If-Match": tag}).status == 200
    assert owner.ask("GET", path).body == b"newer"
    by_page = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={owned.run}&path=by-page"
    assert owner.ask("POST", by_page, iter([b"no ", b"length"])).status == 200
    assert owner.ask("GET", f"{owned.folder}/by-page").body == b"no length"


def test_what_a_client_cut_off_is_refused_with_the_reason(owned: Owned) -> None:
    """As MLflow's client sends them: a path unquoted, up to a '#', with the type of all of it."""
    version = owned.owner.ask("GET", "/version").body.decode()
    agent = {"User-Agent": f"mlflow-python-client/{version}"}
    cases = (
        ("loss", "text/plain", "cuts names"),  # loss#1.txt
        ("plot", "image/png", "cuts names"),  # plot#1.png
        ("x.txt", "application/octet-stream", "cuts names"),  # x.txt#1
        ("what?.txt", "text/plain", "has a '?'"),
        ("x%2Fy.txt", "text/plain", "as %2F"),
        ("a%23b", "application/octet-stream", "has a '#'"),
    )
    for path, kind, reason in cases:
        answer = owned.owner.ask(
            "PUT", f"{owned.folder}/cut/{path}", b"x", {**agent, "Content-Type": kind}
        )
        assert answer.status == 400, path
        assert reason in answer.message
    assert names(owned, "cut") == []
    kept = owned.owner.ask(
        "PUT", f"{owned.folder}/cut/plain.txt", b"x", {**agent, "Content-Type": "text/plain"}
    )
    assert kept.status == 200


@pytest.mark.parametrize("path", ["%FF", "a//b", "a/./b", "a/../b", "a/", "%00", "a%252Fb"])
def test_a_path_that_could_be_another_is_refused(owned: Owned, path: str) -> None:
    answer = owned.owner.ask("PUT", f"{owned.folder}/other/{path}", b"x")
    assert answer.status == 400
    assert answer.message.startswith("Invalid path: ")
    assert names(owned, "other") == []


def names(owned: Owned, folder: str) -> list[str]:
    listing = f"/api/2.0/mlflow/artifacts/list?run_id={owned.run}&path={folder}"
    files = json.loads(owned.owner.ask("GET", listing).body).get("files", [])
    return [file["path"].removeprefix(f"{folder}/") for file in files]


NAMES = st.text(
    st.one_of(
        st.characters(codec="utf-8", exclude_characters="/"),
        st.sampled_from("#?%&=;+:@ ~.\\\"'<>|*[]{}^`$!,aAfF012"),
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", ".."))


def test_a_name_is_kept_as_it_is_or_refused(owned: Owned) -> None:
    began = time.monotonic()

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(NAMES)
    @example("loss#1.txt")
    @example("what?.txt")
    @example("a%41.txt")
    @example("x%2Fy.txt")
    @example("x" * 256)
    def check(name: str) -> None:
        folder = uuid.uuid4().hex
        path = f"{owned.folder}/{folder}/{quote(name, safe='')}"
        by_page = f"run_uuid={owned.run}&path={quote(f'{folder}/{name}', safe='')}"
        stored = owned.owner.ask("PUT", path, name.encode())
        if stored.status != 200:
            assert stored.status == 400, (name, stored)
            assert stored.message
            again = owned.owner.ask("POST", f"/ajax-api/2.0/mlflow/upload-artifact?{by_page}", b"x")
            assert again.status == 400, (name, again)
            assert names(owned, folder) == []
            return
        assert names(owned, folder) == [name]
        assert owned.owner.ask("GET", path).body == name.encode()
        assert owned.owner.ask("GET", f"/get-artifact?{by_page}").body == name.encode()
        assert owned.owner.ask("DELETE", path).status == 200
        assert names(owned, folder) == []

    check()
    print(f"{time.monotonic() - began:.0f} s")


def test_a_download_goes_on_when_its_reader_has_paused(stack: Stack) -> None:
    """MinIO ends an answer whose reader takes nothing for 30 s."""
    Crowd(stack, MORE_THAN_WAITS).read_after(35)  # raises where something is missing


@pytest.mark.parametrize("seconds", [15, 0], ids=["slow", "fast"])
def test_many_transfers_at_once_stay_within_the_servers_memory(
    stack: Stack, seconds: float
) -> None:
    server = stack.kubectl.pod("mlflow")
    pod_processes.visible_of_pod(server)
    memory = Memory(server)
    with memory.watched():
        Crowd(stack).move(seconds)  # raises where one fails
    print(f"{memory.seen[0]:.0f} MiB before, {memory.most:.0f} at most")
    assert memory.most < 800, "of 1024 that the pod may have"
    now = stack.kubectl.pod("mlflow")
    assert (now["metadata"]["uid"], restarts(now)) == (server["metadata"]["uid"], restarts(server))
