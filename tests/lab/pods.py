"""Objects that tests put into the second lab: pods of the image that each node holds, policies."""

import json
from typing import Any

from tests.lab.second_lab import Lab

NAMESPACE = "lab-test"
PORT = 5000
SERVE = f"busybox nc -ll -p {PORT} -e busybox echo hello"


def apply(lab: Lab, *objects: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    lab.kubectl("apply", "--filename=-", stdin=json.dumps(listed))


def pod(
    lab: Lab, name: str, labels: dict[str, str], script: str, *, node: str = "", claim: str = ""
) -> dict[str, Any]:
    """Return a pod, which a node or a claim in /data can be chosen for."""
    images = "jsonpath={.items[0].spec.template.spec.containers[0].image}"
    image = lab.kubectl("get", "deployments", "--namespace=ingress-nginx", f"--output={images}")
    container = {"name": "busybox", "image": image, "command": ["busybox", "sh", "-c", script]}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(name, labels), "spec": spec}


def policy(name: str, applies_to: dict[str, str], **rules: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(name),
        "spec": {
            "podSelector": {"matchLabels": applies_to},
            "policyTypes": [direction.title() for direction in rules],
            **rules,
        },
    }


def claim(name: str) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    kind = "PersistentVolumeClaim"
    return {"apiVersion": "v1", "kind": kind, "metadata": _metadata(name), "spec": wanted}


def wait(lab: Lab, name: str, condition: str) -> None:
    lab.kubectl("wait", name, f"--namespace={NAMESPACE}", f"--for={condition}", "--timeout=60s")


def value(lab: Lab, name: str, field: str) -> str:
    """Return a field of an object, which is a path of kubectl's JSONPath."""
    return lab.kubectl("get", name, f"--namespace={NAMESPACE}", f"--output=jsonpath={{{field}}}")


def logs(lab: Lab, name: str) -> list[str]:
    """Return what a pod printed, once it has ended well."""
    wait(lab, f"pod/{name}", "jsonpath={.status.phase}=Succeeded")
    return lab.kubectl("logs", name, f"--namespace={NAMESPACE}").splitlines()


def _metadata(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
