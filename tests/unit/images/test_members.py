"""What a member of PostgreSQL does before Patroni starts, and what it shares with components."""

import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "patroni"))

from postgres_members import cluster as clusters
from postgres_members import data as datas
from postgres_members import fence, settings, start
from postgres_members.cluster import Cluster
from postgres_members.data import Data
from postgres_members.start import Step, decide
from postgres_members.waiting import answered

from components.backend_stores import _patroni

NUMBER = "7591234567890123456"
VARIABLES = {
    "PGDATA": "/data",
    "POD_ADDRESS": "10.1.2.3",
    "PATRONI_NAME": "postgres-1",
    "PATRONI_SCOPE": "postgres",
    "PATRONI_KUBERNETES_NAMESPACE": "mlflow",
    "PATRONI_KUBERNETES_ROLE_LABEL": _patroni.ROLE,
    "PATRONI_KUBERNETES_LEADER_LABEL_VALUE": _patroni.PRIMARY,
    "PATRONI_REPLICATION_USERNAME": "member",
}


class Api:
    """The Kubernetes API of a namespace: a record, pods, and the changes that were asked for."""

    def __init__(self, record: dict[str, str] | None = None) -> None:
        self.record = dict(record or {})
        self.pods: dict[str, dict[str, Any]] = {}
        self.refuses = 0

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        if self.refuses:
            self.refuses -= 1
            raise OSError("no route")
        place = path.removeprefix("/api/v1/namespaces/mlflow/")
        if place == "configmaps/postgres-config":
            for key, value in (body or {"metadata": {"annotations": {}}})["metadata"][
                "annotations"
            ].items():
                self.record.pop(key, None)
                self.record |= {} if value is None else {key: value}
            return {"metadata": {"annotations": self.record}}
        if method == "PATCH":
            pod = self.pods[place.removeprefix("pods/")]
            for key, value in body["metadata"]["labels"].items():
                assert value is None
                del pod["metadata"]["labels"][key]
            return pod
        if "fieldSelector" in place:
            assert place == "pods?fieldSelector=metadata.name%3Dpostgres-0"
            return {"items": [pod for name, pod in self.pods.items() if name == "postgres-0"]}
        label = f"{_patroni.ROLE}={_patroni.PRIMARY}".replace("=", "%3D")
        assert place == f"pods?labelSelector=app.kubernetes.io/instance%3Dpostgres%2C{label}"
        return {"items": [pod for pod in self.pods.values() if pod["metadata"]["labels"]]}

    def add(self, name: str, *ports: str, primary: bool = False) -> None:
        labels = {_patroni.ROLE: _patroni.PRIMARY} if primary else {}
        container = {"ports": [{"name": port} for port in ports]}
        metadata = {"name": name, "labels": labels}
        self.pods[name] = {"metadata": metadata, "spec": {"containers": [container]}}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    monkeypatch.setattr(Cluster, "_ask", made.ask)
    return made


def data(folder: Path, *, of_member: bool = False, whole: bool = True) -> Data:
    """Return a data folder with something in it."""
    (folder / "global").mkdir(parents=True)
    if whole:
        (folder / "global" / "pg_control").touch()
    if of_member:
        (folder / "patroni.dynamic.json").touch()
    return Data(folder)


@pytest.mark.parametrize("first", [True, False])
def test_with_a_record_every_member_joins(tmp_path: Path, first: bool) -> None:
    kinds = [
        Data(tmp_path / "none"),
        data(tmp_path / "single"),
        data(tmp_path / "member", of_member=True),
    ]
    assert {decide(NUMBER, one, first=first) for one in kinds} == {Step.JOIN}


def test_without_a_record_the_first_member_alone_begins(tmp_path: Path) -> None:
    nothing, single = Data(tmp_path / "none"), data(tmp_path / "single")
    assert decide(None, nothing, first=True) is Step.FOUND
    assert decide(None, single, first=True) is Step.TAKE_OVER
    assert decide(None, nothing, first=False) is Step.WAIT


@pytest.mark.parametrize("first", [True, False])
def test_no_member_begins_anew_with_what_a_member_wrote(tmp_path: Path, first: bool) -> None:
    """Another member may have more of what was acknowledged."""
    of_member = data(tmp_path / "member", of_member=True)
    assert decide(None, of_member, first=first) is Step.WAIT_FOR_RECORD


def test_what_a_start_that_was_cut_short_left_is_removed(tmp_path: Path) -> None:
    found = data(tmp_path / "docker")
    (found.folder / "postmaster.pid").write_text("25\n")
    data(tmp_path / ".docker.new")
    found.tidy()
    assert found.is_there
    assert [file.name for file in found.folder.iterdir()] == ["global"]
    assert [file.name for file in tmp_path.iterdir()] == ["docker"]
    Data(tmp_path / "none").tidy()


def test_a_single_server_is_known_by_its_ports(api: Api) -> None:
    cluster = Cluster("mlflow", "postgres")
    assert not cluster.has_single_server()
    api.add("postgres-0", "postgres")
    assert cluster.has_single_server()
    api.pods["postgres-0"]["metadata"]["deletionTimestamp"] = "2026-11-28T10:00:00Z"
    assert not cluster.has_single_server()
    api.add("postgres-0", "postgres", _patroni.PORT_NAME)
    assert not cluster.has_single_server()


def run_start(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, rounds: Mapping[int, Any]
) -> tuple[list[str], dict[str, Any]]:
    """Run the first program, and return the command that it became, and the file for Patroni.

    Args:
        monkeypatch: replaces what would end the test.
        folder: receives the file.
        name: name of the member.
        rounds: what happens after so many rounds of waiting.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    logins = {
        f"PATRONI_{kind}_{what}": "x"
        for kind in ("SUPERUSER", "REPLICATION", "REWIND")
        for what in ("USERNAME", "PASSWORD")
    }
    shared = json.dumps({"ttl": 20, "postgresql": {"parameters": {}}})
    variables = {
        **VARIABLES,
        **logins,
        "PATRONI_NAME": name,
        "PGDATA": str(folder / "data"),
        "MEMBERS_SETTINGS": shared,
    }
    became: list[list[str]] = []
    waited: list[float] = []

    def execv(_: str, command: list[str]) -> None:
        became.append(command)
        raise SystemExit

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        rounds[len(waited)](port)

    monkeypatch.setattr(start, "PATRONI_PORT", port)
    monkeypatch.setattr(start, "CONFIGURATION", folder / "patroni.yml")
    monkeypatch.setattr(start.os, "execv", execv)
    monkeypatch.setattr(start.time, "sleep", sleep)
    with pytest.raises(SystemExit):
        start._start(variables)
    assert len(waited) == len(rounds)
    return became[0], json.loads((folder / "patroni.yml").read_text())


def probed(port: int) -> dict[str, int]:
    """Return what the probes of a waiting pod get."""
    found = {}
    for path in ("/liveness", "/readiness?lag=16MB"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        found[path.partition("?")[0]] = connection.getresponse().status
        connection.close()
    return found


PLAYED = """\
#!/bin/sh
name=$(basename "$0")
folder=$(printf '%s\\n' "$@" | sed -n 's/^--pgdata=//p')
echo "$name $(basename "$folder") $*" >> "$CALLS"
case $name in
  initdb)
    mkdir -p "$folder/global"
    touch "$folder/global/pg_control"
    echo "$(cat)" >> "$CALLS"
    ;;
  pg_controldata) echo "Database system identifier:           7591234567890123456" ;;
  psql) env | grep "MEMBERS_RE.*PASSWORD" >> "$CALLS" ;;
esac
[ "$FAILS" != "$name" ]
"""
"""A program of PostgreSQL that writes down how it was called."""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[str]]:
    """Play the programs of PostgreSQL; return what returns their calls."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("initdb", "pg_ctl", "psql", "pg_controldata"):
        (programs / name).write_text(PLAYED)
        (programs / name).chmod(0o755)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "application-user.sql").touch()
    (scripts / "pg_hba.conf").touch()
    monkeypatch.setattr(datas, "FIRST_START", scripts)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAILS", "")
    return lambda: (tmp_path / "calls").read_text().splitlines()


def test_the_first_member_makes_a_database_and_notes_its_number(
    api: Api, called: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command, _ = run_start(monkeypatch, tmp_path, "postgres-0", {})
    assert command[0].endswith("/patroni")
    assert command[1] == str(tmp_path / "patroni.yml")
    assert api.record["initialize"] == NUMBER
    assert json.loads(api.record["config"]) == {"ttl": 20, "postgresql": {"parameters": {}}}
    calls = called()
    assert calls[0].startswith("initdb .data.new ")
    # The superuser's password comes by the standard input.
    assert calls[1] == "x"
    programs = [line.split()[0] for line in calls if not line.startswith(("x", "MEMBERS"))]
    started = ["pg_ctl", "psql", "pg_ctl"]
    assert programs == ["initdb", *started, *started, "pg_controldata"]
    scripts = [Path(line.split()[-1]).name for line in calls if line.startswith("psql")]
    assert scripts == ["application-user.sql", "roles.sql"]
    assert len([line for line in calls if line.startswith("MEMBERS")]) == 2


@pytest.mark.parametrize("program", ["initdb", "pg_ctl", "psql"])
def test_a_first_attempt_that_was_cut_short_is_made_anew(
    api: Api,
    called: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    program: str,
) -> None:
    monkeypatch.setenv("FAILS", program)
    with pytest.raises(subprocess.CalledProcessError):
        Data(tmp_path / "data").make("x")
    assert not (tmp_path / "data").exists()
    monkeypatch.setenv("FAILS", "")
    run_start(monkeypatch, tmp_path, "postgres-0", {})
    assert api.record["initialize"] == NUMBER
    assert [line for line in called() if line.startswith("initdb")][1:]
    assert sorted(file.name for file in tmp_path.glob("*data*")) == ["data"]


def test_the_data_of_a_single_server_become_the_members(
    api: Api, called: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = data(tmp_path / "data")
    run_start(monkeypatch, tmp_path, "postgres-0", {})
    assert [Path(line.split()[-1]).name for line in called() if line.startswith("psql")] == [
        "roles.sql"
    ]
    assert not [line for line in called() if line.startswith("initdb")]
    assert api.record["initialize"] == NUMBER
    assert held.is_there


def test_another_member_waits_and_is_ready_only_beside_a_single_server(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The StatefulSet's controller replaces the single server's pod last."""
    seen: list[int] = []

    def grows(port: int) -> None:
        seen.append(probed(port)["/readiness"])
        api.add("postgres-0", "postgres")

    def is_replaced(port: int) -> None:
        seen.append(probed(port)["/readiness"])
        assert probed(port)["/liveness"] == 200
        api.add("postgres-0", "postgres", _patroni.PORT_NAME)

    def begins(port: int) -> None:
        seen.append(probed(port)["/readiness"])
        api.record["initialize"] = NUMBER

    run_start(monkeypatch, tmp_path, "postgres-2", {1: grows, 2: is_replaced, 3: begins})
    assert seen == [503, 200, 503]


def test_half_of_a_copy_is_removed(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.record["initialize"] = NUMBER
    half = data(tmp_path / "data", whole=False)
    run_start(monkeypatch, tmp_path, "postgres-1", {})
    assert not half.folder.exists()


def test_a_lost_record_is_told_and_an_api_that_does_not_answer_is_asked_again(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data(tmp_path / "data", of_member=True)
    api.refuses = 1
    monkeypatch.setattr(start, "_SAID_EVERY_SECONDS", 0)
    rounds = {1: lambda _: None, 2: lambda _: api.record.update(initialize=NUMBER)}
    run_start(monkeypatch, tmp_path, "postgres-0", rounds)
    said = capsys.readouterr().out
    assert "the Kubernetes API does not answer: no route" in said
    assert "error: the record of the members" in said
    assert "ConfigMap postgres-config) is gone" in said


def test_what_a_person_added_to_the_settings_stays(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.record |= {"initialize": NUMBER, "config": json.dumps({"pause": True, "ttl": 60})}
    run_start(monkeypatch, tmp_path, "postgres-1", {})
    noted = json.loads(api.record["config"])
    assert (noted["pause"], noted["ttl"]) == (True, 20)


def test_a_pod_that_waits_answers_on_both_kinds_of_addresses() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with answered("2001:db8::7", port):
        assert probed(port)["/liveness"] == 200


def test_the_settings_of_a_member_have_no_password_and_no_way_to_begin_anew() -> None:
    found = json.loads(settings.of_member(VARIABLES))
    assert "bootstrap" not in found
    assert found["restapi"]["connect_address"] == "10.1.2.3:8008"
    postgresql = found["postgresql"]
    # A copy under way would count as a member that has a write (pg_basebackup's slot).
    assert "no-slot" in postgresql["basebackup"]
    from_others = [rule for rule in postgresql["pg_hba"] if rule.split()[3:4] == ["all"]]
    assert len(from_others) == 2
    assert all(rule.endswith(" scram-sha-256") for rule in from_others)
    of_ipv6 = json.loads(settings.of_member({**VARIABLES, "POD_ADDRESS": "2001:db8::7"}))
    assert of_ipv6["postgresql"]["connect_address"] == "[2001:db8::7]:5432"


def fenced(monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """Run the callback as Patroni does."""
    found = json.loads(settings.of_member(VARIABLES))
    _, _, module, *arguments = shlex.split(found["postgresql"]["callbacks"]["on_role_change"])
    assert module == "postgres_members.fence"
    monkeypatch.setattr(sys, "argv", ["fence", *arguments, "on_role_change", role, "postgres"])
    monkeypatch.setattr(fence.time, "sleep", lambda _: None)
    fence.main()


def test_a_new_primary_takes_the_label_from_a_lost_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, primary in (("postgres-0", True), ("postgres-1", True), ("postgres-2", False)):
        api.add(name, primary=primary)
    fenced(monkeypatch, "replica")
    assert api.pods["postgres-0"]["metadata"]["labels"]
    api.refuses = 2
    fenced(monkeypatch, "primary")
    labels = {name: bool(pod["metadata"]["labels"]) for name, pod in api.pods.items()}
    assert labels == {"postgres-0": False, "postgres-1": True, "postgres-2": False}


def test_the_component_and_the_image_use_the_same_names() -> None:
    assert clusters.PORT_NAME == _patroni.PORT_NAME
    assert settings.PATRONI_PORT == _patroni.PORT
