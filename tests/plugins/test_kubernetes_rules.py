"""The Kubernetes provider's rules on recorded objects: what changed, what replaces, what is ready.

Does not prove that the API server answers so today: test_kubernetes_cluster.py does.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lab.plugins.kubernetes import awaiters, diff, objects
from lab.plugins.kubernetes.awaiters import View
from lab.plugins.kubernetes.client import Object, active_cluster
from lab.plugins.wire import UNKNOWN, Secret


def changes(old: Any, new: Any) -> dict[str, str]:
    return {diff.text(path): change for path, change in diff.differences(old, new).items()}


# What is a difference


def test_what_the_cluster_adds_is_no_difference() -> None:
    inputs = {"spec": {"replicas": 1, "ports": [{"port": 80}]}}
    live = {"spec": {"replicas": 1, "ports": [{"port": 80, "protocol": "TCP"}]}, "status": {"x": 1}}
    assert diff.prune(live, inputs) == inputs


def test_drift_of_a_field_we_set_is_a_difference() -> None:
    inputs = {"spec": {"replicas": 1}}
    assert changes(diff.prune({"spec": {"replicas": 3}}, inputs), inputs) == {
        "spec.replicas": "UPDATE"
    }


def test_a_field_that_someone_removed_is_a_difference() -> None:
    inputs = {"metadata": {"labels": {"app": "x"}}}
    assert changes(diff.prune({"metadata": {}}, inputs), inputs) == {"metadata.labels": "ADD"}


@pytest.mark.parametrize("empty", [[], {}, False, 0, "", None])
def test_the_api_server_drops_what_is_empty(empty: object) -> None:
    inputs = {"spec": {"a": 1, "b": empty}}
    assert diff.prune({"spec": {"a": 1}}, inputs) == inputs


def test_an_empty_value_that_was_there_before_is_missed() -> None:
    inputs = {"spec": {"automountServiceAccountToken": False}}
    before = {"spec": {"automountServiceAccountToken": False}}
    assert diff.prune({"spec": {}}, inputs, before) == {"spec": {}}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("1024Mi", "1Gi"), ("0.5", "500m"), (1, "1"), ("1000m", "1"), ("1e0", "1e0"), ("2k", "2000")],
)
def test_quantities_may_be_spelled_differently(ours: object, theirs: object) -> None:
    inputs = {"spec": {"resources": {"limits": {"x": ours}}}}
    live = {"spec": {"resources": {"limits": {"x": theirs}}}}
    assert diff.prune(live, inputs) == inputs
    assert changes(live, inputs) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"spec": {"resources": {"limits": {"cpu": "1"}}}},) * 1
        + ({"spec": {"resources": {"limits": {"cpu": "2"}}}},),
        ({"data": {"limits": "1.0"}}, {"data": {"limits": "1.00"}}),
        ({"spec": {"env": "1.10"}}, {"spec": {"env": "1.1"}}),
        ({"spec": {"flag": 1}}, {"spec": {"flag": True}}),
        ({"spec": {"flag": 0}}, {"spec": {"flag": False}}),
    ],
)
def test_other_values_are_compared_as_they_are(old: Object, new: Object) -> None:
    assert list(changes(old, new).values()) == ["UPDATE"]


def test_added_deleted_and_changed_list_items() -> None:
    assert changes({"a": [1, 2]}, {"a": [1, 3, 4]}) == {"a[1]": "UPDATE", "a[2]": "ADD"}
    assert changes({"a": [1, 2]}, {"a": [1]}) == {"a[1]": "DELETE"}


def test_unknown_values_count_as_changed() -> None:
    assert changes({"a": "x", "b": 1}, {"a": UNKNOWN, "b": 1}) == {"a": "UPDATE"}


def test_paths_are_written_as_the_engine_writes_them() -> None:
    path = ("metadata", "annotations", "pulumi.com/skipAwait")
    assert diff.text(path) == 'metadata.annotations["pulumi.com/skipAwait"]'
    assert diff.text(("spec", "ports", 0, "port")) == "spec.ports[0].port"


# What needs a new object


def replaces(api_version: str, kind: str, *path: str | int, **options: bool) -> bool:
    obj = {"apiVersion": api_version, "kind": kind, "immutable": options.pop("immutable", False)}
    given = {"mutable_secrets": True, "mutable_config_maps": True} | options
    return diff.needs_new_object(path, diff.replacing_fields(obj, **given))


SPEC = "spec"
POD_IMAGE = ("spec", "template", "spec", "containers", 0, "image")


@pytest.mark.parametrize(
    ("api_version", "kind", "path", "expected"),
    [
        ("v1", "ConfigMap", ("metadata", "name"), True),
        ("v1", "ConfigMap", ("metadata", "namespace"), True),
        ("v1", "ConfigMap", ("metadata", "labels", "a"), False),
        ("v1", "ConfigMap", ("data", "a"), False),
        ("v1", "Secret", ("data", "a"), False),
        ("v1", "Secret", ("type",), True),
        ("v1", "Service", (SPEC, "clusterIP"), True),
        ("v1", "Service", (SPEC, "clusterIPs", 0), False),
        ("v1", "Service", (SPEC, "ports", 0, "port"), False),
        ("v1", "PersistentVolumeClaim", (SPEC, "storageClassName"), True),
        ("v1", "PersistentVolumeClaim", (SPEC, "accessModes", 0), True),
        ("v1", "PersistentVolumeClaim", (SPEC, "resources", "requests", "storage"), False),
        ("v1", "Pod", (SPEC, "containers", 1, "image"), True),
        ("v1", "Pod", (SPEC, "activeDeadlineSeconds"), False),
        ("apps/v1", "Deployment", (SPEC, "selector", "matchLabels", "app"), True),
        ("apps/v1", "Deployment", POD_IMAGE, False),
        ("apps/v1", "StatefulSet", (SPEC, "serviceName"), True),
        ("apps/v1", "StatefulSet", (SPEC, "volumeClaimTemplates", 0, "spec"), True),
        ("apps/v1", "StatefulSet", (SPEC, "replicas"), False),
        ("apps/v1", "StatefulSet", POD_IMAGE, False),
        ("batch/v1", "Job", POD_IMAGE, True),
        ("batch/v1", "Job", (SPEC, "backoffLimit"), False),
        ("batch/v1", "CronJob", (SPEC, "schedule"), False),
        ("networking.k8s.io/v1", "Ingress", (SPEC, "rules", 0, "host"), False),
        ("networking.k8s.io/v1", "NetworkPolicy", (SPEC, "podSelector"), False),
        ("policy/v1", "PodDisruptionBudget", (SPEC, "selector"), False),
        ("example.com/v1", "Widget", (SPEC, "size"), False),
    ],
)
def test_which_changes_replace(
    api_version: str, kind: str, path: tuple[str | int, ...], expected: bool
) -> None:
    assert replaces(api_version, kind, *path) is expected


@pytest.mark.parametrize(
    ("kind", "flag"), [("Secret", "mutable_secrets"), ("ConfigMap", "mutable_config_maps")]
)
def test_data_replaces_unless_the_provider_may_change_it(kind: str, flag: str) -> None:
    assert replaces("v1", kind, "data", "a", **{flag: False})
    assert not replaces("v1", kind, "data", "a")
    assert replaces("v1", kind, "data", "a", immutable=True)


# Names, secrets, unknowns


def test_an_object_without_a_name_is_named_after_its_resource() -> None:
    obj: Object = {"metadata": {}}
    assert objects.give_name(obj, {}, "cache", None) == ""
    name = obj["metadata"]["name"]
    assert name.startswith("cache-")
    assert len(bytes.fromhex(name.removeprefix("cache-"))) == 4
    assert obj["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}


def test_the_name_is_kept_for_the_objects_life() -> None:
    old: Object = {"metadata": {}}
    objects.give_name(old, {}, "cache", None)
    new: Object = {"metadata": {}}
    objects.give_name(new, old, "cache", None)
    assert new == old


@pytest.mark.parametrize("metadata", [{"name": "x"}, {"name": UNKNOWN}, {"generateName": "x-"}])
def test_a_name_that_the_program_chose_stays(metadata: Object) -> None:
    obj: Object = {"metadata": copy.deepcopy(metadata)}
    objects.give_name(obj, {}, "cache", None)
    assert obj == {"metadata": metadata}


def test_string_data_becomes_data() -> None:
    given = {"apiVersion": "v1", "kind": "Secret", "stringData": Secret({"a": "b"})}
    made = objects.normalised(given | {"data": {"c": "ZA=="}})
    assert made == {"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg==", "c": "ZA=="}}


def test_a_secrets_data_is_always_secret() -> None:
    obj = {"kind": "Secret", "data": {"a": "Yg=="}, "type": "Opaque"}
    assert objects.mark_secrets(obj, {}) == {**obj, "data": Secret({"a": "Yg=="})}


def test_secret_marks_are_copied_no_wider_than_needed() -> None:
    given = {"spec": {"a": Secret("x"), "b": 1, "list": [{"v": Secret("y")}]}}
    live = {"spec": {"a": "x", "b": 1, "list": [{"v": "y", "w": 2}]}}
    assert objects.mark_secrets(live, given) == {
        "spec": {"a": Secret("x"), "b": 1, "list": Secret([{"v": "y", "w": 2}])}
    }


def test_state_brings_back_inputs_and_live_object() -> None:
    inputs = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg=="}}
    live = inputs | {"metadata": {"uid": "1"}}
    state = objects.to_state(inputs, live, inputs, "manager")
    assert state["__fieldManager"] == "manager"
    assert state["__inputs"]["data"] == Secret({"a": "Yg=="})
    assert objects.from_state(state) == (inputs, live)


def test_a_preview_does_not_know_what_the_cluster_assigns() -> None:
    ports = [{"port": 1}, {"port": 2, "nodePort": 30000}]
    spec = {"type": "NodePort", "ports": ports}
    given = {"kind": "Service", "metadata": {"name": "a"}, "spec": spec}
    dry_run = copy.deepcopy(given)
    dry_run["spec"] |= {"clusterIP": "9.9.9.9"}  # type: ignore[operator]
    dry_run["spec"]["ports"][0]["nodePort"] = 1  # type: ignore[index]
    guess = objects.with_unknowns(dry_run, given)
    assert guess["metadata"]["name"] == "a"
    assert guess["metadata"]["uid"] is UNKNOWN
    assert guess["spec"]["clusterIP"] is UNKNOWN
    assert guess["spec"]["ports"][0] == {"port": 1, "nodePort": UNKNOWN}
    assert guess["spec"]["ports"][1] == {"port": 2, "nodePort": 30000}
    assert guess["status"] is UNKNOWN


def test_the_active_cluster_follows_context_and_cluster() -> None:
    config = {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "a"}},
            {"name": "two", "context": {"cluster": "b"}},
        ],
        "clusters": [{"name": "a", "cluster": {"server": "A"}}, {"name": "b", "cluster": {}}],
    }
    assert active_cluster(config, "", "") == {"server": "A"}
    assert active_cluster(config, "two", "") == {}
    assert active_cluster(config, "two", "a") == {"server": "A"}
    assert active_cluster(config, "three", "") is None


# When an object is ready


def owned(kind: str, uid: str, owner: str, **parts: Any) -> Object:
    metadata = {"name": uid, "namespace": "n", "uid": uid, "ownerReferences": [{"uid": owner}]}
    metadata |= parts.pop("metadata", {})
    return {"kind": kind, "metadata": metadata, **parts}


CRASHING = {
    "name": "c",
    "ready": False,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such table"}},
}
UNPULLED = {
    "name": "c",
    "ready": False,
    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "pull access denied"}},
    "lastState": {},
}


def pod(container: Object | None = None, *, owner: str = "", **condition: str) -> Object:
    conditions = [condition or {"type": "Ready", "status": "False", "message": "unready: [c]"}]
    status = {"phase": "Pending", "conditions": conditions}
    if container:
        status["containerStatuses"] = [container]
    return owned("Pod", "pod", owner, status=status)


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (pod(), "unready: [c]"),
        (pod(UNPULLED), "[ImagePullBackOff] pull access denied"),
        (
            pod(CRASHING),
            "[CrashLoopBackOff] back-off 10s restarting; "
            'container "c" ended with exit code 1 (Error); no such table',
        ),
        (
            pod(type="PodScheduled", status="False", message="0/1 nodes: Insufficient cpu."),
            "0/1 nodes: Insufficient cpu.",
        ),
    ],
    ids=["unready", "no image", "crashing", "unschedulable"],
)
def test_a_pod_says_why_it_is_not_ready(obj: Object, told: str) -> None:
    assert awaiters.pod_problems(obj) == [f"[Pod n/pod]: {told}"]


def test_a_ready_pod_has_no_problem() -> None:
    assert awaiters.pod_problems(pod(type="Ready", status="True")) == []


def deployment(*, revision: str = "1", observed: int = 1, available: str = "True") -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "uid": "d",
            "generation": 2 if revision != "1" else 1,
            "annotations": {"deployment.kubernetes.io/revision": revision},
        },
        "spec": {
            "replicas": 2,
            "template": {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}},
        },
        "status": {
            "observedGeneration": observed,
            "conditions": [
                {"type": "Available", "status": available, "reason": "Few", "message": "too few"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    }


def replica_set(revision: str, ready: int, name: str = "rs") -> Object:
    annotations = {"deployment.kubernetes.io/revision": revision}
    return owned(
        "ReplicaSet",
        name,
        "d",
        metadata={"annotations": annotations},
        spec={"replicas": 2},
        status={"readyReplicas": ready},
    )


def judged_deployment(
    live: Object, sets: list[Object], pods: tuple[Object, ...] = (), phase: str = "Bound"
) -> awaiters.Progress:
    claim = {"metadata": {"name": "data"}, "status": {"phase": phase}}
    related = {"ReplicaSet": sets, "Pod": list(pods), "PersistentVolumeClaim": [claim]}
    return awaiters.deployment_ready(View(live, related))


def test_a_deployment_is_ready_with_its_replica_set() -> None:
    assert judged_deployment(deployment(), [replica_set("1", 2)]).ready


def test_a_deployment_waits_for_every_pod() -> None:
    progress = judged_deployment(deployment(), [replica_set("1", 1)])
    assert not progress.ready
    assert progress.message == "Waiting for app ReplicaSet to be available (1/2 Pods available)"


def test_a_deployment_is_not_judged_by_its_previous_generation() -> None:
    live = deployment(revision="2", observed=1)
    assert not judged_deployment(live, [replica_set("2", 2)]).ready


def test_a_roll_out_waits_for_the_new_replica_set() -> None:
    old, new = replica_set("1", 2, "old"), replica_set("2", 0, "new")
    live = deployment(revision="2", observed=2)
    assert not judged_deployment(live, [old, new]).ready
    assert judged_deployment(live, [old, replica_set("2", 2, "new")]).ready


def test_a_deployment_says_why_it_is_not_ready() -> None:
    live = deployment(available="False")
    pods = (pod(UNPULLED, owner="rs"), pod(CRASHING, owner="another"))
    progress = judged_deployment(live, [replica_set("1", 0)], pods, phase="Pending")
    assert progress.explained() == [
        "[Few] too few",
        "Failed to bind PersistentVolumeClaim(s): data",
        "Minimum number of live Pods was not attained",
        "[Pod n/pod]: [ImagePullBackOff] pull access denied",
    ]


def stateful_set(generation: int = 1, **status: Any) -> Object:
    done = {
        "observedGeneration": generation,
        "replicas": 1,
        "readyReplicas": 1,
        "currentReplicas": 1,
        "updatedReplicas": 1,
        "currentRevision": "a",
        "updateRevision": "a",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "uid": "s", "generation": generation},
        "spec": {"replicas": 1},
        "status": done | status,
    }


@pytest.mark.parametrize(
    ("live", "ready", "message"),
    [
        (stateful_set(), True, "StatefulSet initialization complete"),
        (
            stateful_set(readyReplicas=0),
            False,
            "[1/2] Waiting for StatefulSet to create Pods (0/1 Pods ready)",
        ),
        (
            stateful_set(2, updateRevision="b", updatedReplicas=0, currentReplicas=0),
            False,
            "[1/3] Waiting for StatefulSet update to roll out (0/1 Pods ready)",
        ),
        (
            stateful_set(2, updateRevision="b"),
            False,
            "[2/3] Waiting for StatefulSet to update .status.currentRevision",
        ),
        (
            stateful_set(2, observedGeneration=1),
            False,
            "[2/3] Waiting for StatefulSet to update .status.currentRevision",
        ),
    ],
)
def test_stateful_sets(live: Object, ready: bool, message: str) -> None:
    progress = awaiters.stateful_set_ready(View(live))
    assert (progress.ready, progress.message) == (ready, message)


def job(*conditions: Object, **status: int) -> Object:
    return {
        "metadata": {"name": "j", "uid": "j"},
        "status": {"conditions": list(conditions), **status},
    }


def test_a_job_is_ready_when_it_is_complete() -> None:
    assert awaiters.job_ready(View(job({"type": "Complete", "status": "True"}))).ready
    assert not awaiters.job_ready(View(job(active=1))).ready


@pytest.mark.parametrize("reason", ["BackoffLimitExceeded", "DeadlineExceeded"])
def test_a_job_that_failed_for_good_is_not_waited_for(reason: str) -> None:
    failed = {"type": "Failed", "status": "True", "reason": reason, "message": "no more"}
    progress = awaiters.job_ready(View(job(failed), {"Pod": [pod(CRASHING, owner="j")]}))
    assert progress.hopeless
    assert progress.explained()[0] == f"[{reason}] no more"
    assert "no such table" in progress.explained()[1]


def service(**spec: Any) -> Object:
    base = {"clusterIP": "1.2.3.4", "selector": {"app": "x"}}
    return {"metadata": {"name": "web"}, "spec": base | spec, "status": {}}


def endpoints(**subset: Any) -> list[Object]:
    return [{"metadata": {"name": "web"}, "subsets": [subset]}]


ADDRESS = [{"ip": "1.1.1.1"}]


@pytest.mark.parametrize(
    ("live", "found", "seconds", "ready"),
    [
        (service(), endpoints(addresses=ADDRESS), 0, True),
        (service(), endpoints(notReadyAddresses=ADDRESS), 60, False),
        (service(), endpoints(addresses=ADDRESS, notReadyAddresses=ADDRESS), 60, False),
        (service(), [], 0, False),
        (service(), [], 60, True),
        (service(clusterIP="None"), [], 0, True),
        (service(selector=None), [], 0, True),
        (service(type="ExternalName"), [], 0, True),
        (service(type="LoadBalancer"), endpoints(addresses=ADDRESS), 60, False),
    ],
    ids=[
        *("pods ready", "pods not ready", "some not ready", "no pods yet", "no pods at all"),
        *("headless", "no selector", "external name", "no address"),
    ],
)
def test_services(live: Object, found: list[Object], seconds: float, ready: bool) -> None:
    assert awaiters.service_ready(View(live, {"Endpoints": found}, seconds)).ready is ready


def ingress(*, addressed: bool) -> Object:
    path = {"backend": {"service": {"name": "web"}}}
    status = {"loadBalancer": {"ingress": ADDRESS if addressed else []}}
    return {"spec": {"rules": [{"http": {"paths": [path]}}]}, "status": status}


def test_an_ingress_needs_an_address_and_its_service() -> None:
    related = {"Endpoints": endpoints()}
    assert awaiters.ingress_ready(View(ingress(addressed=True), related)).ready
    assert not awaiters.ingress_ready(View(ingress(addressed=True), {})).ready
    progress = awaiters.ingress_ready(View(ingress(addressed=False), related, 60))
    assert not progress.ready
    assert "Is an ingress controller running" in progress.reasons[0]


@pytest.mark.parametrize(
    ("phase", "mode", "ready"),
    [
        ("Bound", "Immediate", True),
        ("Pending", "Immediate", False),
        ("Pending", "WaitForFirstConsumer", True),
        ("Lost", "WaitForFirstConsumer", False),
    ],
)
def test_claims(phase: str, mode: str, ready: bool) -> None:
    storage = {"metadata": {"name": "standard"}, "volumeBindingMode": mode}
    live = {"spec": {"storageClassName": "standard"}, "status": {"phase": phase}}
    assert awaiters.claim_ready(View(live, {"StorageClass": [storage]})).ready is ready
