"""Network policies are in force when a pod's first program starts, and no pod starts without them.

That each policy of the stack does what it says is proved by tests/e2e/shared_stack/test_network.py.
"""

import json
import os
import signal
import time
from typing import Any

from tests.lab.second_lab import NEEDS_THE_LAB, Lab

pytestmark = NEEDS_THE_LAB

NAMESPACE = "policies-test"
PORT = 5000
SERVER, CLIENT = {"role": "server"}, {"role": "client"}
SERVE = f"busybox nc -ll -p {PORT} -e busybox echo hello"
PODS = 5  # of each kind, at once: one alone may meet its first moment too late


def apply(lab: Lab, *objects: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    lab.kubectl("apply", "--filename=-", stdin=json.dumps(listed))


def pod(lab: Lab, name: str, labels: dict[str, str], script: str) -> dict[str, Any]:
    """Return a pod of the image that the node always holds."""
    images = "jsonpath={.items[0].spec.template.spec.containers[0].image}"
    image = lab.kubectl("get", "deployments", "--all-namespaces", f"--output={images}")
    container = {"name": "busybox", "image": image, "command": ["busybox", "sh", "-c", script]}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def policy(name: str, applies_to: dict[str, str], **rules: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": applies_to},
            "policyTypes": [direction.title() for direction in rules],
            **rules,
        },
    }


def wait(lab: Lab, name: str, condition: str) -> None:
    lab.kubectl("wait", name, f"--namespace={NAMESPACE}", f"--for={condition}", "--timeout=60s")


def test_a_pod_is_wired_and_protected_from_its_first_moment(lab: Lab) -> None:
    lab.run("start")
    lab.kubectl("create", "namespace", NAMESPACE)
    to, source = ([{"podSelector": {"matchLabels": labels}}] for labels in (SERVER, CLIENT))
    ports = [{"port": PORT}]
    apply(
        lab,
        policy("denied", {}, ingress=[], egress=[]),
        policy("server", SERVER, ingress=[{"from": source, "ports": ports}]),
        policy("client", CLIENT, egress=[{"to": to, "ports": ports}]),
        pod(lab, "server", SERVER, SERVE),
    )
    wait(lab, "pod/server", "condition=Ready")
    address = lab.kubectl(
        "get", "pod/server", f"--namespace={NAMESPACE}", "--output=jsonpath={.status.podIP}"
    )
    probe = f"busybox time -p busybox nc -w 9 {address} {PORT} </dev/null 2>&1; true"
    kinds = {"client": CLIENT, "denied": {}}
    names = [(kind, f"{kind}-{number}") for kind in kinds for number in range(PODS)]
    apply(lab, *(pod(lab, name, kinds[kind], probe) for kind, name in names))
    for kind, name in names:
        wait(lab, f"pod/{name}", "jsonpath={.status.phase}=Succeeded")
        said, *rest = lab.kubectl("logs", name, f"--namespace={NAMESPACE}").splitlines()
        (seconds,) = (float(line.split()[1]) for line in rest if line.startswith("real"))
        assert ("Connection refused" in said) == (kind == "denied"), (name, said)
        assert (said == "hello") == (kind == "client"), (name, said)
        # Not after the time for which it would wait: one second is TCP's, to ask again.
        assert seconds < 3, (name, said)


def test_no_pod_starts_without_the_enforcer(lab: Lab) -> None:
    os.kill(lab.pid("policies"), signal.SIGKILL)
    apply(lab, pod(lab, "late", {}, "true"))
    time.sleep(5)
    phase = ("get", "pod/late", f"--namespace={NAMESPACE}", "--output=jsonpath={.status.phase}")
    assert lab.kubectl(*phase) == "Pending"
    lab.run("start")
    wait(lab, "pod/late", "jsonpath={.status.phase}=Succeeded")
