"""Three nodes: each has pods and volumes of its own, can be drained, lost and brought back.

A second lab, with a home and a network of its own, so that one in use is left alone.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import wait_until
from tests.lab.pods import NAMESPACE, PORT, SERVE, apply, claim, logs, pod, policy, value, wait
from tests.lab.second_lab import NAME, NEEDS_THE_LAB, Lab, traces

pytestmark = [*NEEDS_THE_LAB, pytest.mark.long]

FIRST, SECOND, THIRD = NODES = ("minikube", "minikube-m02", "minikube-m03")
AGENTS = ("containerd", "policies", "kubelet", "kube-proxy")
SERVER, CLIENT = {"role": "server"}, {"role": "client"}
WEB = f"--selector=app=web --namespace={NAMESPACE}".split()


def nodes(lab: Lab) -> list[str]:
    return lab.kubectl("get", "nodes", "--output=jsonpath={.items[*].metadata.name}").split()


def folders(lab: Lab, node: str) -> list[Path]:
    """List the folders of the volumes that a node has."""
    place = lab.home / "node" / (node if node != FIRST else "") / "volumes"
    return list(place.iterdir()) if place.exists() else []


def remove(lab: Lab, name: str) -> None:
    lab.kubectl("delete", f"pvc/{name}", f"--namespace={NAMESPACE}", "--wait=false")
    lab.kubectl("wait", "pv", "--all", "--for=delete", "--timeout=60s")


def web(lab: Lab) -> dict[str, Any]:
    """Return a Deployment of one pod, which leaves a lost node soon, and is not on the first."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": pod(lab, "web", labels, SERVE)["spec"]}
    del template["spec"]["restartPolicy"]
    term = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [FIRST]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    template["spec"]["affinity"] = {"nodeAffinity": affinity}
    template["spec"]["tolerations"] = [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 2,
        }
        for key in ("not-ready", "unreachable")
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def place_of_web(lab: Lab) -> str:
    """Return the node of the Deployment's running pod; empty when no pod runs."""
    pods = json.loads(lab.kubectl("get", "pods", *WEB, "--output=json"))["items"]
    found = [one for one in pods if "deletionTimestamp" not in one["metadata"]]
    running = [one["spec"]["nodeName"] for one in found if one["status"]["phase"] == "Running"]
    return running[0] if running else ""


def test_one_node_becomes_three_and_keeps_its_volumes(lab: Lab) -> None:
    lab.run("start")
    lab.kubectl("create", "namespace", NAMESPACE)
    apply(lab, claim("early"))
    wait(lab, "pvc/early", "jsonpath={.status.phase}=Bound")
    lab.run("start --nodes 3")
    assert nodes(lab) == list(NODES)
    assert len(folders(lab, FIRST)) == 1
    apply(lab, pod(lab, "early", {}, "busybox touch /data/kept", claim="early"))
    logs(lab, "early")
    assert value(lab, "pod/early", ".spec.nodeName") == FIRST
    lab.kubectl("delete", "pod/early", f"--namespace={NAMESPACE}")
    remove(lab, "early")
    assert folders(lab, FIRST) == []


def test_a_second_start_keeps_three_nodes_and_changes_nothing(lab: Lab) -> None:
    before = lab.pids()
    assert lab.run("start") == ""
    assert lab.pids() == before
    shown = lab.run("status")
    assert all(f"{node}/{name}" in shown for node in NODES[1:] for name in (*AGENTS, "node"))


def test_pods_of_different_nodes_reach_each_other(lab: Lab) -> None:
    service = {"selector": SERVER, "ports": [{"port": PORT}]}
    metadata = {"name": "server", "namespace": NAMESPACE}
    apply(
        lab,
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        pod(lab, "server", SERVER, SERVE, node=SECOND),
    )
    wait(lab, "pod/server", "condition=Ready")
    targets = (value(lab, "pod/server", ".status.podIP"), f"server.{NAMESPACE}.svc.cluster.local")
    script = ";".join(f"busybox nc -w 9 {target} {PORT} </dev/null" for target in targets)
    apply(lab, *(pod(lab, f"near-{node}", {}, script, node=node) for node in NODES))
    for node in NODES:
        assert logs(lab, f"near-{node}") == ["hello", "hello"], node
        assert value(lab, f"pod/near-{node}", ".spec.nodeName") == node


def test_a_policy_holds_between_nodes(lab: Lab) -> None:
    dns = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    source, caged = [{"podSelector": {"matchLabels": CLIENT}}], {"role": "caged"}
    apply(
        lab,
        policy("server", SERVER, ingress=[{"from": source}]),
        policy("caged", caged, egress=[{"to": [dns]}]),
    )
    name = f"server.{NAMESPACE}.svc.cluster.local"
    ask = f"busybox nc -w 9 {name} {PORT} </dev/null 2>&1; true"
    look = f"busybox nslookup -type=a {name} >/dev/null && echo found; {ask}"
    kinds = {"client": (CLIENT, ask), "other": ({}, ask), "caged": (caged, look)}
    asking = {f"{kind}-{node}": (kind, node) for kind in kinds for node in NODES}
    apply(lab, *(pod(lab, name, *kinds[kind], node=node) for name, (kind, node) in asking.items()))
    for name, (kind, _) in asking.items():
        said = logs(lab, name)
        assert ("Connection refused" in said[-1]) == (kind != "client"), (name, said)
        assert (said == ["hello"]) == (kind == "client"), (name, said)
        assert ("found" in said) == (kind == "caged"), (name, said)


def test_a_volume_stays_on_its_node(lab: Lab) -> None:
    writer = pod(lab, "writes", {}, "echo 7 >/data/it", node=SECOND, claim="data")
    apply(lab, claim("data"), writer)
    logs(lab, "writes")
    apply(lab, pod(lab, "reads", {}, "busybox cat /data/it", claim="data"))
    assert logs(lab, "reads") == ["7"]
    assert value(lab, "pod/reads", ".spec.nodeName") == SECOND
    assert [len(folders(lab, node)) for node in NODES] == [0, 1, 0]


def test_a_drained_node_gives_its_pods_to_another(lab: Lab) -> None:
    apply(lab, web(lab))
    wait(lab, "deployment/web", "condition=Available")
    before = place_of_web(lab)
    lab.kubectl("drain", before, "--force", "--delete-emptydir-data", "--timeout=60s")
    after = wait_until(lambda: place_of_web(lab), 60, "the pod runs again")
    assert {before, after} == {SECOND, THIRD}
    lab.kubectl("uncordon", before)


def test_a_lost_node_comes_back_empty(lab: Lab) -> None:
    lost = place_of_web(lab)
    other = THIRD if lost == SECOND else SECOND
    apply(lab, claim("doomed"), pod(lab, "doomed", {}, "true", node=lost, claim="doomed"))
    logs(lab, "doomed")
    kept = folders(lab, other)
    lab.run(f"lose {lost}")
    assert (folders(lab, lost), folders(lab, other)) == ([], kept)
    lab.kubectl("wait", f"node/{lost}", "--for=condition=Ready=Unknown", "--timeout=120s")
    assert lab.begin("status").wait(timeout=60) == 1
    wait_until(lambda: place_of_web(lab) == other, 60, "the pod runs on the other node")
    lab.run("start --nodes 3")
    lab.run("status")
    wait_until(
        lambda: len(lab.kubectl("get", "pods", *WEB, "--output=name").split()) == 1,
        60,
        "the lost pod is gone",
    )
    apply(lab, pod(lab, "again", {}, "true", node=lost))
    logs(lab, "again")


@pytest.mark.parametrize("name", AGENTS)
def test_start_brings_back_what_was_killed_on_one_node(lab: Lab, name: str) -> None:
    before = lab.pids()
    os.kill(before[f"{THIRD}/{name}"], signal.SIGKILL)
    lab.run("start")
    after = lab.pids()
    assert {one for one in after if after[one] != before[one]} == {f"{THIRD}/{name}"}


def test_what_is_killed_at_any_moment_is_taken_up(lab: Lab) -> None:
    for command, moments in (("stop", (0.5, 1.5)), ("start --nodes 3", (0.7, 1.5, 3, 6))):
        for seconds in moments:
            killed = lab.begin(command)
            time.sleep(seconds)
            killed.kill()
            killed.communicate()
    lab.run("start")
    assert nodes(lab) == list(NODES)
    for seconds in (0.2, 0.4, 0.8):
        killed = lab.begin(f"lose {THIRD}")
        time.sleep(seconds)
        killed.kill()
        killed.communicate()
        lab.run("start")
    lab.run(f"lose {THIRD}")
    assert folders(lab, THIRD) == []
    lab.run("start")
    lab.run("status")


def test_a_stop_leaves_no_trace_of_any_node(lab: Lab) -> None:
    lab.run("stop")
    assert traces(lab) == []
    lab.run("start")
    assert nodes(lab) == list(NODES)


def test_three_nodes_become_one(lab: Lab) -> None:
    """Volumes of the others stay, and can be removed."""
    apply(lab, claim("last"), pod(lab, "last", {}, "true", node=SECOND, claim="last"))
    logs(lab, "last")
    lab.run("start --nodes 1")
    assert nodes(lab) == [FIRST]
    assert list(Path("/run/netns").glob(f"{NAME}-m0*")) == []
    assert folders(lab, SECOND)
    lab.kubectl("delete", "pvc", "--all", f"--namespace={NAMESPACE}", "--wait=false")
    lab.kubectl("wait", "pv", "--all", "--for=delete", "--timeout=60s")
    assert folders(lab, SECOND) == []
    apply(lab, claim("late"))
    wait(lab, "pvc/late", "jsonpath={.status.phase}=Bound")
