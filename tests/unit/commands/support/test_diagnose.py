"""Findings from pods, claims and events of failures in a real cluster."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from commands.support import diagnose
from commands.support.diagnose import Finding, Watch, findings

# Taken from Kubernetes 1.34 with `kubectl get --output=json`, without what nothing here reads.
OBJECTS = json.loads(Path(__file__).with_name("failures.json").read_text())
IMAGES = {"serverImage": "mlflow-kubernetes/server:0.0.1"}
PASSES = math.inf


def found(objects: list[Any] = OBJECTS) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings(objects, IMAGES)}


def changed(name: str, **metadata: Any) -> list[Any]:
    """Return the objects with other metadata of one of them."""
    copy = json.loads(json.dumps(OBJECTS))
    (one,) = (each for each in copy if each["metadata"].get("name") == name)
    one["metadata"].update(metadata)
    return [*copy]


@pytest.mark.parametrize(
    ("what", "why", "patience"),
    [
        ("pod image-missing", "its image postgres:18.6-not-there cannot be had: failed to do", 60),
        ("pod image-missing-ours", "its image mlflow-kubernetes/server:0.0.1 cannot be had: ", 60),
        ("pod image-no-registry", "its image registry.invalid/mlflow/server:1 cannot be had: ", 60),
        ("pod image-never", "postgres:0.1 cannot be had: Container image", 20),
        ("pod image-invalid", "repository name (library/Postgres) must be lowercase", 20),
        ("pod crash", "container c ended with exit status 3, 4 times by now", 0),
        ("pod no-command", '"not-a-program": executable file not found in $PATH', 0),
        ("pod oom", "container c took more memory than 20Mi and was killed, 4 times", 0),
        ("pod no-secret-env", 'cannot start: secret "nope" not found', 30),
        ("pod unschedulable", "fits on no node: 0/1 nodes are available: 1 Insufficient", 30),
        ("pod unready", "runs, and is not ready: Readiness probe failed: not yet", PASSES),
        ("volume claim unbound", 'storageclass.storage.k8s.io "not-there" not found', 20),
        ("StatefulSet quota", "may not make its pod: .* failed quota: q", 30),
        ("Job migration, pod migration-wdnkk", "container job ended with exit status 1", None),
    ],
)
def test_each_failure_is_told_with_its_own_patience(
    what: str, why: str, patience: float | None
) -> None:
    finding = found()[what]
    assert finding.patience == patience
    assert all(part in finding.why for part in why.split(".*"))


def test_nothing_else_is_told() -> None:
    # One pod came up after a while, and the claim speaks for the pod that waits for it.
    assert len(found()) == 14
    assert not {"pod no-secret-volume", "pod unbound"} & set(found())


def test_what_is_somebody_elses_or_on_its_way_out_is_not_ours_to_tell() -> None:
    assert "pod crash" not in found(changed("crash", labels={}))
    assert "pod crash" not in found(changed("crash", deletionTimestamp="2026-11-22T20:28:18Z"))
    assert "StatefulSet quota" not in found(changed("quota", labels={}))


def test_a_claim_of_the_stack_that_no_pod_mounts_yet_is_told() -> None:
    objects = json.loads(json.dumps(OBJECTS))
    claimed = [one for one in objects if one["metadata"].get("name") == "unbound"]
    (claim,) = (one for one in claimed if one["kind"] == "PersistentVolumeClaim")
    alone = [one for one in objects if one not in claimed] + [claim]
    assert "volume claim unbound" not in found(alone)
    claim["metadata"]["labels"] = {"app.kubernetes.io/part-of": "mlflow"}
    assert found(alone)["volume claim unbound"].to_do.endswith("delete pvc unbound")


def test_the_setting_of_an_image_is_named() -> None:
    assert found()["pod image-missing-ours"].to_do.startswith("correct mlflow:serverImage, push")


def test_a_pod_for_which_a_node_is_being_made_is_waited_for() -> None:
    (pod,) = (each for each in OBJECTS if each["metadata"].get("name") == "unschedulable")
    event = {
        "kind": "Event",
        "type": "Normal",
        "reason": "TriggeredScaleUp",
        "message": "",
        "involvedObject": {"uid": pod["metadata"]["uid"]},
        "metadata": {"creationTimestamp": "2026-11-22T20:28:18Z", "uid": ""},
    }
    assert found([*OBJECTS, event])["pod unschedulable"].patience == 300


@pytest.mark.parametrize(
    ("message", "to_do"),
    [
        ("0/1 nodes are available: 1 Insufficient memory.", "have a node with more room"),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
            "correct tolerations, nodeSelector",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {data: }. preemption: 0/1",
            "correct tolerations, nodeSelector",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            "correct tolerations, nodeSelector",
        ),
        (
            "0/1 nodes: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            "have a node with more room",
        ),
    ],
)
def test_what_lets_a_pod_run_follows_from_the_schedulers_message(message: str, to_do: str) -> None:
    copy = json.loads(json.dumps(OBJECTS))
    (pod,) = (each for each in copy if each["metadata"].get("name") == "unschedulable")
    for condition in pod["status"]["conditions"]:
        condition["message"] = message
    finding = found(copy)["pod unschedulable"]
    assert message in finding.why
    assert finding.to_do.startswith(to_do)


def test_a_registry_that_asks_for_a_login_is_met_with_a_pull_secret() -> None:
    copy = json.loads(json.dumps(OBJECTS))
    (pod,) = (each for each in copy if each["metadata"].get("name") == "image-missing")
    for status in pod["status"]["containerStatuses"]:
        status["state"]["waiting"]["message"] = (
            'failed to resolve reference "r/a:1": unexpected status code: 401 Unauthorized'
        )
    finding = found(copy)["pod image-missing"]
    assert "imagePullSecrets of mlflow:pods" in finding.to_do
    assert finding.patience == 60


class Cluster:
    """Answers for `kubectl`, at a time that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.objects: list[Any] = []
        self.now = 0.0
        self.log = "its last words\n"
        monkeypatch.setattr(diagnose, "capture", self.answer)
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def answer(
        self, command: list[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        assert environment == {"A": "b"}
        said = self.log if "logs" in command else json.dumps({"items": self.objects})
        return subprocess.CompletedProcess(command, 0, said, "")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def only(name: str) -> list[Any]:
    """Return one object, and the events."""
    return [
        each for each in OBJECTS if each["kind"] == "Event" or each["metadata"].get("name") == name
    ]


def given_up_after(cluster: Cluster, watch: Watch) -> float:
    """Return after how many seconds of the same state waiting is given up."""
    while not watch():
        cluster.now += 1
        assert cluster.now < 1000
    return cluster.now


@pytest.mark.parametrize(
    ("name", "seconds"), [("crash", 0), ("image-never", 20), ("image-missing", 60)]
)
def test_waiting_ends_when_it_is_in_vain(cluster: Cluster, name: str, seconds: int) -> None:
    watch = Watch({"A": "b"}, "mlflow", IMAGES)
    cluster.objects = only(name)
    assert given_up_after(cluster, watch) == seconds
    assert watch.hopeless
    assert watch.explanation().startswith(f"pod {name}: ")


def test_what_was_broken_before_is_given_time_to_be_repaired(cluster: Cluster) -> None:
    cluster.objects = only("crash")
    assert given_up_after(cluster, Watch({"A": "b"}, "mlflow", IMAGES)) == 180


def test_what_heals_meanwhile_is_waited_for_anew(cluster: Cluster) -> None:
    watch = Watch({"A": "b"}, "mlflow", IMAGES)
    cluster.objects = only("image-never")
    assert not watch()
    cluster.now, cluster.objects = 19, []
    assert not watch()
    cluster.now, cluster.objects = 30, only("image-never")
    assert not watch()
    assert given_up_after(cluster, watch) == 50


def test_what_may_pass_is_told_only_where_nothing_else_is(cluster: Cluster) -> None:
    watch = Watch({"A": "b"}, "mlflow", IMAGES)
    cluster.objects = only("unready")
    assert not watch()
    cluster.now = 1000
    assert not watch()
    assert watch.explanation() == (
        "pod unready: runs, and is not ready: Readiness probe failed: not yet\n"
        "  | its last words\n"
        "  to do: its last lines may say why"
    )
    cluster.objects = OBJECTS
    assert "pod unready" not in watch.explanation()


def test_what_is_full_is_named_once_with_the_newest_words(cluster: Cluster) -> None:
    cluster.log = (
        "2026/11/27 No room is left in the database: could not extend file a\n"
        "INFO: 10.0.0.1:1 - PUT /a 507\n"
        "No room is left in the artifact store: cannot store b: XMinioStorageFull\n"
        "2026/11/27 No room is left in the database: could not extend file c\n"
    )
    said = Watch({"A": "b"}, "mlflow", IMAGES).everything().split("\n\n")
    assert [lines.splitlines()[0] for lines in said] == [
        "No room is left in the database, in the last 10 minutes: could not extend file c",
        "No room is left in the artifact store, in the last 10 minutes: cannot store b: "
        "XMinioStorageFull",
    ]
    assert all("make gc OLDER_THAN=0s" in lines for lines in said)


def test_a_cluster_that_does_not_answer_is_no_reason_to_give_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch({"A": "b"}, "mlflow", IMAGES)
    refused = subprocess.CompletedProcess([], 1, "", "connection refused")
    monkeypatch.setattr(diagnose, "capture", lambda *_: refused)
    assert not watch()
    assert watch.explanation() == ""
    assert cluster.now == 0
