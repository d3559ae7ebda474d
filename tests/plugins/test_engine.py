"""The three plugins together, under the real engine and on a real cluster.

What the program relies on is shown with an object of each kind that it makes, without its images.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import pod_processes
from harness.waiting import wait_until
from lab import paths
from tests.plugins.harness import project

pytestmark = pytest.mark.e2e

NAMESPACE = "plugins-test"
PROGRAM = """
import os

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

provider = k8s.Provider(
    "cluster", context=os.environ["CONTEXT"], upsert_existing_objects=True,
    enable_secret_mutable=True, enable_config_map_mutable=True,
)
options = pulumi.ResourceOptions(provider=provider)
labels = {"app": "web"}
fixed = {"pulumi.com/patchFieldManager": "plugins-test", "pulumi.com/patchForce": "true"}
namespace = k8s.core.v1.Namespace("namespace", metadata={"name": "NAMESPACE"}, opts=options)
where = namespace.metadata.name


def metadata(name, **annotations):
    return {"name": name, "namespace": where, "annotations": fixed | annotations}


def pods(app, **spec):
    containers = [{
        "name": "c", "image": "localhost/no-such-image:1", "image_pull_policy": "Never",
        "resources": {"requests": {"cpu": "0.01", "memory": "1024Ki"}},
        "env_from": [{"secret_ref": {"name": secret.metadata.name}}],
    }]
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": containers, "enable_service_links": False,
                 "automount_service_account_token": False, "init_containers": [], **spec},
    }


password = random.RandomPassword("password", length=20, special=False)
secret = k8s.core.v1.Secret(
    "secret", metadata=metadata("secret"), opts=options,
    string_data={"uri": pulumi.Output.concat("postgresql://u:", password.result, "@db/mlflow")},
)
settings = k8s.core.v1.ConfigMap(
    "settings", metadata={"namespace": where}, data={"a": os.environ["DATA"]}, opts=options,
)
k8s.core.v1.ServiceAccount(
    "account", metadata=metadata("account"), automount_service_account_token=False, opts=options,
)
claim = {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}
k8s.apps.v1.Deployment(
    "web", metadata=metadata("web", **{"pulumi.com/timeoutSeconds": os.environ["SECONDS"]}),
    spec={"replicas": int(os.environ["REPLICAS"]), "selector": {"match_labels": labels},
          "template": pods("web")}, opts=options,
)
k8s.apps.v1.StatefulSet(
    "db", metadata=metadata("db"), opts=options,
    spec={"replicas": 0, "service_name": "db", "selector": {"match_labels": {"app": "db"}},
          "template": pods("db", termination_grace_period_seconds=int(os.environ["GRACE"])),
          "volume_claim_templates": [{"metadata": {"name": "data"}, "spec": claim}]},
)
service = k8s.core.v1.Service(
    "web", metadata=metadata("web"), opts=options,
    spec={"selector": {"app": "none"},
          "ports": [{"name": "http", "port": 80, "target_port": 80}]},
)
k8s.core.v1.PersistentVolumeClaim(
    "claim", metadata=metadata("claim", **{"pulumi.com/skipAwait": "true"}), spec=claim,
    opts=options,
)
k8s.batch.v1.CronJob(
    "tidy", metadata=metadata("tidy"), opts=options,
    spec={"schedule": "0 0 1 1 *", "suspend": True, "job_template": {
        "spec": {"template": pods("tidy", restart_policy="Never")}}},
)
k8s.batch.v1.Job(
    "once", metadata=metadata("once", **{"pulumi.com/skipAwait": "true"}), opts=options,
    spec={"suspend": True, "template": pods("once", restart_policy="Never")},
)
backend = {"service": {"name": service.metadata.name, "port": {"name": "http"}}}
k8s.networking.v1.Ingress(
    "web", metadata=metadata("web", **{"pulumi.com/skipAwait": "true"}), opts=options,
    spec={"ingress_class_name": "plugins-test", "rules": [{"host": "plugins-test.local", "http": {
        "paths": [{"path": "/", "path_type": "Prefix", "backend": backend}]}}]},
)
k8s.networking.v1.NetworkPolicy(
    "closed", metadata=metadata("closed"), opts=options,
    spec={"pod_selector": {}, "policy_types": ["Ingress"], "ingress": []},
)
k8s.policy.v1.PodDisruptionBudget(
    "web", metadata=metadata("web"), opts=options,
    spec={"max_unavailable": 1, "selector": {"match_labels": labels}},
)
pulumi.export("name", settings.metadata.name)
pulumi.export("password", password.result)
""".replace("NAMESPACE", NAMESPACE)


@dataclass
class Stack:
    """A stack of the program above, on a state file of its own."""

    folder: Path
    environment: dict[str, str]
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.begun.append(process)
        return process

    def run(self, *arguments: str, fails: bool = False) -> str:
        process = self.begin(*arguments)
        output, _ = process.communicate(timeout=600)
        assert (process.returncode != 0) is fails, output
        return output

    def outputs(self) -> Any:
        return json.loads(self.run("stack", "output", "--json", "--show-secrets"))

    def state(self) -> str:
        return (self.folder / "state/.pulumi/stacks/plugins-test/dev.json").read_text()


def kubectl(*arguments: str) -> str:
    command = ["kubectl", "--namespace", NAMESPACE, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    if "KUBECONFIG" not in os.environ:
        pytest.skip("needs a cluster: KUBECONFIG is not set")
    environment = project(tmp_path, NAMESPACE, PROGRAM) | {
        **{"REPLICAS": "0", "SECONDS": "60", "DATA": "1", "GRACE": "30"},
        "CONTEXT": kubectl("config", "current-context").strip(),
    }
    made = Stack(tmp_path, environment)
    made.run("stack", "init", "dev")
    yield made
    for process in made.begun:
        process.kill()
        process.wait()
    pod_processes.end_working_in(tmp_path)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


def test_a_life(stack: Stack) -> None:
    """Made, unchanged, changed, drifted, repaired, deleted; no secret in clear in the state."""
    stack.run("preview")
    stack.run("up", "--yes", "--skip-preview")
    made = stack.outputs()
    assert made["name"].startswith("settings-")
    for operation in (["up", "--yes"], ["preview"], ["refresh", "--yes"]):
        stack.run(*operation, "--expect-no-changes")
    data = json.loads(kubectl("get", "secret", "secret", "-o", "json"))["data"]["uri"]
    assert made["password"] not in stack.state()
    assert data not in stack.state()

    stack.environment["DATA"] = "2"
    assert "[diff: ~data]" in stack.run("up", "--yes", "--skip-preview")
    kubectl("patch", "configmap", made["name"], "--type=merge", "--patch", '{"data":{"a":"3"}}')
    kubectl("delete", "serviceaccount", "account")
    refreshed = stack.run("refresh", "--yes", "--skip-preview", "--diff")
    assert '"2" => "3"' in refreshed
    repaired = stack.run("up", "--yes", "--skip-preview")
    assert "+ 1 created" in repaired
    assert "~ 1 updated" in repaired
    stack.run("preview", "--expect-no-changes")
    assert stack.outputs() == made

    # The same cluster under another name is the same cluster: nothing on it is replaced.
    kubeconfig = json.loads(kubectl("config", "view", "--raw", "--output=json"))
    kubeconfig["contexts"].append({**kubeconfig["contexts"][0], "name": "renamed"})
    renamed = stack.folder / "kubeconfig"
    renamed.write_text(json.dumps(kubeconfig))
    stack.environment |= {"KUBECONFIG": str(renamed), "CONTEXT": "renamed"}
    said = stack.run("up", "--yes", "--skip-preview")
    assert "~ 1 updated" in said
    assert "replaced" not in said

    stack.run("destroy", "--yes", "--skip-preview")
    assert NAMESPACE not in kubectl("get", "namespaces")


def test_an_object_that_does_not_become_ready_is_kept_and_explained(stack: Stack) -> None:
    stack.environment |= {"REPLICAS": "1", "SECONDS": "15"}
    output = stack.run("up", "--yes", "--skip-preview", fails=True)
    assert "'web' timed out waiting to be Ready" in output
    assert "Minimum number of live Pods was not attained" in output
    assert "[ErrImageNeverPull]" in output
    uid = kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.uid}")
    refreshed = stack.run("refresh", "--yes", "--skip-preview")
    assert "Refreshed resource is in an unhealthy state" in refreshed
    stack.environment["REPLICAS"] = "0"
    assert "~ 1 updated" in stack.run("up", "--yes", "--skip-preview")
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.uid}") == uid
    stack.run("preview", "--expect-no-changes")
    stack.run("destroy", "--yes", "--skip-preview")


def test_an_update_is_over_when_the_controllers_have_seen_it(stack: Stack) -> None:
    """Until then the status is the one of before, and says that everything is ready."""
    stack.run("up", "--yes", "--skip-preview")
    controllers = int((paths.NODE_DIR / "pids" / "kube-controller-manager").read_text())

    def generation() -> str:
        return kubectl("get", "statefulset", "db", "-o", "jsonpath={.metadata.generation}")

    before = generation()
    stack.environment["GRACE"] = "31"
    os.kill(controllers, signal.SIGSTOP)
    try:
        up = stack.begin("up", "--yes", "--skip-preview")
        wait_until(lambda: generation() != before, 120, "the update")
        with pytest.raises(subprocess.TimeoutExpired):
            up.wait(timeout=4)
    finally:
        os.kill(controllers, signal.SIGCONT)
    output, _ = up.communicate(timeout=300)
    assert up.returncode == 0, output
    stack.run("destroy", "--yes", "--skip-preview")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_goes_on(stack: Stack, number: signal.Signals) -> None:
    """A user's Ctrl-C loses nothing; after a kill, the same objects are taken up again."""
    stack.environment |= {"REPLICAS": "1", "SECONDS": "600"}
    up = stack.begin("up", "--yes", "--skip-preview")
    wait_until(lambda: "web" in kubectl("get", "deployments", "--output=name"), 120, "a Deployment")
    up.send_signal(number)
    output, _ = up.communicate(timeout=300)
    assert up.returncode != 0
    if number == signal.SIGINT:
        wait_until(lambda: not pod_processes.working_in(stack.folder), 120, "its processes end")
        assert 'Resource operation was cancelled for "web"' in output
    before = kubectl("get", "secret", "secret", "-o", "jsonpath={.data} {.metadata.uid}")
    if number == signal.SIGKILL:
        stack.run("cancel", "--yes")
    stack.environment["REPLICAS"] = "0"
    stack.run("up", "--yes", "--skip-preview")
    after = kubectl("get", "secret", "secret", "-o", "jsonpath={.data} {.metadata.uid}")
    assert after == before
    stack.run("preview", "--expect-no-changes")
    stack.run("destroy", "--yes", "--skip-preview")
    assert NAMESPACE not in kubectl("get", "namespaces")
