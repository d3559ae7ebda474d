"""When an object is ready: the official provider's conditions, progress lines and reasons.

Each `_..._ready` function looks at objects only, so it can be tested without a cluster; `wait`
polls. The conditions are those of pulumi-kubernetes 4.34 (provider/pkg/await/*.go).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.plugins.kubernetes.client import (
    ApiError,
    Cluster,
    NoSuchKind,
    Object,
    annotation,
    name_of,
    namespace_of,
)
from lab.plugins.wire import INFO, WARNING, Failure

# The official provider lets endpoints settle for 10 s; here everything runs on one machine.
_SETTLE_SECONDS = 2.0
_WARN_SECONDS = 10.0  # every pod is unready for a moment; the official one looks as late
_REVISION = "deployment.kubernetes.io/revision"
_LOG_LINES = "5"
_GIVE_UP_REASONS = {"BackoffLimitExceeded", "DeadlineExceeded"}


@dataclass
class Progress:
    """What a look at an object found: ready or not, and what to tell."""

    ready: bool
    message: str = ""
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    hopeless: bool = False

    def explained(self) -> list[str]:
        """Return everything that stands between the object and being ready."""
        return self.reasons + self.warnings


@dataclass
class View:
    """An object and what an awaiter needs to know besides it."""

    live: Object
    related: dict[str, list[Object]] = field(default_factory=dict)
    seconds: float = 0.0

    def owned(self, kind: str, owner: Object) -> list[Object]:
        """Return the related objects of a kind that an object owns."""
        uid = owner["metadata"].get("uid")
        return [
            item
            for item in self.related.get(kind, [])
            if any(o["uid"] == uid for o in item["metadata"].get("ownerReferences", []))
        ]


def condition(obj: Object, kind: str) -> Object:
    """Return a condition of an object's status, or nothing."""
    conditions = obj.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def pod_problems(pod: Object) -> list[str]:
    """Say why a pod is not ready, in the official provider's words (checker/pod/check.go)."""
    status = pod.get("status", {})
    if condition(pod, "Ready").get("status") == "True" or status.get("phase") == "Succeeded":
        return []
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return [f"[Pod {namespace_of(pod)}/{name_of(pod)}]: {scheduled.get('message', '')}"]
    statuses = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    details = [
        problem
        for container in statuses
        if not container.get("ready")
        for problem in _container_problems(container)
    ] or [condition(pod, "Ready").get("message", "")]
    told = "; ".join(detail for detail in details if detail)
    return [f"[Pod {namespace_of(pod)}/{name_of(pod)}]: {told}"] if told else []


def _container_problems(container: Object) -> list[str]:
    waiting = container.get("state", {}).get("waiting") or {}
    ended = container.get("state", {}).get("terminated") or {}
    last = container.get("lastState", {}).get("terminated") or {}
    problems = []
    if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
        problems.append(f"[{waiting['reason']}] {waiting.get('message', '')}".strip())
    for end in (ended, last):
        if end.get("exitCode"):
            name, code = container["name"], end["exitCode"]
            problems.append(f'container "{name}" ended with exit code {code} ({end["reason"]})')
            problems.append(end.get("message", "").strip())
    return problems


def _problems(pods: list[Object]) -> list[str]:
    return list(itertools.chain.from_iterable(map(pod_problems, pods)))


def _claims(view: View, pod_spec: Object) -> list[str]:
    """Return the claims that a pod mounts and that have no volume yet."""
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod_spec.get("volumes") or []
        if "persistentVolumeClaim" in volume
    }
    return [
        name_of(claim)
        for claim in view.related.get("PersistentVolumeClaim", [])
        if name_of(claim) in mounted and claim.get("status", {}).get("phase") != "Bound"
    ]


def _observed(obj: Object) -> bool:
    """Say whether the controller has seen the object's latest specification."""
    generation = obj["metadata"].get("generation", 0)
    return bool(obj.get("status", {}).get("observedGeneration", 0) >= generation)


def deployment_ready(view: View) -> Progress:
    """Available, with the replica set of the current revision complete and its claims bound."""
    live = view.live
    revision = annotation(live, _REVISION)
    sets = view.owned("ReplicaSet", live)
    current = next((s for s in sets if annotation(s, _REVISION) == revision), None)
    wanted = current["spec"].get("replicas", 1) if current else live["spec"].get("replicas", 1)
    ready = current.get("status", {}).get("readyReplicas", 0) if current else 0
    available, progressing = condition(live, "Available"), condition(live, "Progressing")
    rolled_out = revision == "1" or (
        progressing.get("reason") == "NewReplicaSetAvailable"
        and progressing.get("status") == "True"
    )
    unbound = _claims(view, live["spec"]["template"]["spec"])
    is_available = available.get("status") == "True"
    complete = _observed(live) and current is not None and ready >= wanted
    if complete and is_available and rolled_out and not unbound:
        return Progress(True, "Deployment initialization complete")
    reasons = [
        f"[{c.get('reason')}] {c.get('message')}"
        for c in (progressing, available)
        if c.get("status") == "False"
    ]
    if unbound:
        reasons.append(f"Failed to bind PersistentVolumeClaim(s): {', '.join(unbound)}")
    if not is_available:
        reasons.append("Minimum number of live Pods was not attained")
    elif not complete or not rolled_out:
        reasons.append(
            "Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not "
            "become live"
        )
    pods = view.owned("Pod", current) if current else []
    message = f"Waiting for app ReplicaSet to be available ({ready}/{wanted} Pods available)"
    return Progress(False, message, reasons, _problems(pods))


def stateful_set_ready(view: View) -> Progress:
    """Every replica ready, and on the latest revision."""
    live, status = view.live, view.live.get("status", {})
    wanted = live["spec"].get("replicas", 1)
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    first = live["metadata"].get("generation", 1) <= 1
    on_delete = live["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
    observed = _observed(live)
    revision = bool(status.get("currentRevision")) and (
        status.get("currentRevision") == status.get("updateRevision")
    )
    replicas = wanted == status.get("replicas", 0) == ready
    if on_delete and not first:
        revision = True
    else:
        replicas = replicas and wanted == status.get("currentReplicas", 0)
    if observed and replicas and revision:
        return Progress(True, "StatefulSet initialization complete")
    done = ready if revision else min(ready, updated)
    reasons = []
    if not (observed and replicas):
        reasons.append(f"{done} out of {wanted} replicas succeeded readiness checks")
    if not revision:
        reasons.append(
            f"StatefulSet controller failed to advance from revision "
            f'"{status.get("currentRevision", "")}" to revision '
            f'"{status.get("updateRevision", "")}"'
        )
    message = "[2/3] Waiting for StatefulSet to update .status.currentRevision"
    if first:
        message = f"[1/2] Waiting for StatefulSet to create Pods ({done}/{wanted} Pods ready)"
    elif not replicas:
        message = f"[1/3] Waiting for StatefulSet update to roll out ({done}/{wanted} Pods ready)"
    return Progress(False, message, reasons, _problems(view.owned("Pod", live)))


def daemon_set_ready(view: View) -> Progress:
    """Every node that should run the pod runs the latest one, available."""
    status = view.live.get("status", {})
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    if _observed(view.live) and available >= wanted and updated >= wanted:
        return Progress(True, "DaemonSet initialization complete")
    message = f"Waiting for DaemonSet to be available ({available}/{wanted} Pods available)"
    return Progress(False, message, [message], _problems(view.owned("Pod", view.live)))


def job_ready(view: View) -> Progress:
    """Complete; a job that has failed for good is not waited for."""
    status = view.live.get("status", {})
    counts = " | ".join(
        f"{k.title()}: {status.get(k, 0)}" for k in ("active", "succeeded", "failed")
    )
    message = f'Waiting for Job "{name_of(view.live)}" to succeed ({counts})'
    if condition(view.live, "Complete").get("status") == "True":
        return Progress(True, "Job complete")
    failed = condition(view.live, "Failed")
    problems = _problems(view.owned("Pod", view.live))
    if failed.get("status") == "True" and failed.get("reason") in _GIVE_UP_REASONS:
        reason = f"[{failed['reason']}] {failed.get('message', '')}"
        return Progress(False, reason, [reason], problems, hopeless=True)
    return Progress(False, message, [message], problems)


def pod_ready(view: View) -> Progress:
    """Ready, or ended well."""
    done = condition(view.live, "Ready").get("status") == "True"
    if done or view.live.get("status", {}).get("phase") == "Succeeded":
        return Progress(True, "Pod initialization complete")
    message = f'Waiting for Pod "{name_of(view.live)}" to be ready'
    return Progress(False, message, [message], pod_problems(view.live))


def claim_ready(view: View) -> Progress:
    """Bound; one whose class waits for its first consumer is ready while it is pending."""
    phase = view.live.get("status", {}).get("phase")
    name = view.live["spec"].get("storageClassName")
    late = any(
        name_of(storage) == name and storage.get("volumeBindingMode") == "WaitForFirstConsumer"
        for storage in view.related.get("StorageClass", [])
    )
    if phase == "Bound" or (late and phase == "Pending"):
        return Progress(True, "PVC is ready")
    message = f"Waiting for the volume claim to be bound (now {phase})"
    return Progress(False, message, [message])


def volume_ready(view: View) -> Progress:
    """Available or bound."""
    phase = view.live.get("status", {}).get("phase")
    message = f"Waiting for the volume to be available (now {phase})"
    return Progress(phase in ("Available", "Bound"), message, [message])


def service_ready(view: View) -> Progress:
    """Its pods, if it selects any, are all ready; a load balancer also needs an address."""
    spec, status = view.live.get("spec", {}), view.live.get("status", {})
    kind = spec.get("type", "ClusterIP")
    addressed = kind != "LoadBalancer" or bool(status.get("loadBalancer", {}).get("ingress"))
    if kind == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return Progress(addressed, "Service initialization complete")
    subsets = [
        subset
        for endpoints in view.related.get("Endpoints", [])
        if name_of(endpoints) == name_of(view.live)
        for subset in endpoints.get("subsets") or []
    ]
    pending = any(subset.get("notReadyAddresses") for subset in subsets)
    reached = any(subset.get("addresses") for subset in subsets)
    settled = reached or view.seconds >= _SETTLE_SECONDS
    if addressed and settled and not pending:
        return Progress(True, "Service initialization complete")
    reasons = []
    if not reached:
        reasons.append(
            "Service does not target any Pods. Selected Pods may not be ready, or "
            "field '.spec.selector' may not match labels on any Pods"
        )
    if not addressed:
        reasons.append(
            "Service was not allocated an IP address; does your cloud provider support this?"
        )
    message = "[1/3] Finding Pods to direct traffic to"
    if settled and not addressed:
        message = "[2/3] Attempting to allocate IP address to Service"
    return Progress(False, message, reasons)


def ingress_ready(view: View) -> Progress:
    """Has an address, and every backend it names exists (or had time to)."""
    status = view.live.get("status", {})
    addressed = bool(status.get("loadBalancer", {}).get("ingress"))
    external = {
        name_of(service)
        for service in view.related.get("Service", [])
        if service.get("spec", {}).get("type") == "ExternalName"
    }
    known = {name_of(endpoints) for endpoints in view.related.get("Endpoints", [])} | external
    named = {
        path["backend"]["service"]["name"]
        for rule in view.live.get("spec", {}).get("rules") or []
        for path in (rule.get("http") or {}).get("paths") or []
        if "service" in path["backend"]
    }
    found = named <= known or view.seconds >= _SETTLE_SECONDS
    if addressed and found:
        return Progress(True, "Ingress initialization complete")
    reasons = [f"No matching service found for ingress rule: {n}" for n in sorted(named - known)]
    if not addressed:
        reasons.append(
            "Ingress .status.loadBalancer field was not updated with a hostname/IP address. "
            "Is an ingress controller running that serves its class?"
        )
    message = "[2/3] Waiting for update of .status.loadBalancer with hostname/IP"
    return Progress(False, message if found else "[1/3] Finding matching services", reasons)


def token_ready(view: View) -> Progress:
    """A token that the cluster fills in is there."""
    filled = view.live.get("type") != "kubernetes.io/service-account-token" or view.live.get("data")
    return Progress(bool(filled), "Waiting for the token")


def quota_ready(view: View) -> Progress:
    """The quota controller has taken the limits over."""
    spec, status = view.live.get("spec", {}), view.live.get("status", {})
    return Progress(spec.get("hard") == status.get("hard"), "Waiting for the quota's status")


# The judge of each kind, and the related kinds it looks at.
_AWAITERS: dict[tuple[str, str], tuple[Callable[[View], Progress], tuple[tuple[str, str], ...]]] = {
    ("apps/v1", "Deployment"): (
        deployment_ready,
        (("apps/v1", "ReplicaSet"), ("v1", "Pod"), ("v1", "PersistentVolumeClaim")),
    ),
    ("apps/v1", "StatefulSet"): (stateful_set_ready, (("v1", "Pod"),)),
    ("apps/v1", "DaemonSet"): (daemon_set_ready, (("v1", "Pod"),)),
    ("batch/v1", "Job"): (job_ready, (("v1", "Pod"),)),
    ("v1", "Pod"): (pod_ready, ()),
    ("v1", "PersistentVolumeClaim"): (claim_ready, (("storage.k8s.io/v1", "StorageClass"),)),
    ("v1", "PersistentVolume"): (volume_ready, ()),
    ("v1", "ResourceQuota"): (quota_ready, ()),
    ("v1", "Secret"): (token_ready, ()),
    ("v1", "Service"): (service_ready, (("v1", "Endpoints"),)),
    ("networking.k8s.io/v1", "Ingress"): (ingress_ready, (("v1", "Endpoints"), ("v1", "Service"))),
}


class NotReady(Failure):
    """An object exists but did not become ready; carries its last known form."""

    def __init__(self, message: str, live: Object, reasons: list[str]) -> None:
        super().__init__(message)
        self.live, self.why = live, reasons


@dataclass
class Waiter:
    """Waits for one object, until it is ready, time is up or the user has had enough."""

    cluster: Cluster
    cancelled: threading.Event
    tell: Callable[[str, int], None]
    seconds: float

    def look(self, live: Object, seconds: float = 1e9) -> Progress:
        """Judge an object as it is now."""
        judged = _AWAITERS.get((live["apiVersion"], live["kind"]))
        if judged is None:
            return Progress(True)
        judge, kinds = judged
        related = {
            kind: self.cluster.list(version, kind, namespace_of(live)) for version, kind in kinds
        }
        return judge(View(live, related, seconds))

    def until_ready(self, live: Object) -> Object:
        """Return the object once it is ready."""
        if (live["apiVersion"], live["kind"]) not in _AWAITERS:
            return live
        started, told = time.monotonic(), ""
        for pause in self._pauses():
            passed = time.monotonic() - started
            progress = self.look(live, passed)
            if progress.ready:
                return live
            warnings = progress.warnings if passed >= _WARN_SECONDS else []
            message = "; ".join([progress.message, *warnings])
            if message != told:
                told = message
                self.tell(told, WARNING if warnings else INFO)
            name = name_of(live)
            if progress.hopeless:
                raise NotReady(
                    f"Resource '{name}' was created but failed to initialize",
                    live,
                    progress.explained() + self._logs(live),
                )
            if passed + pause > self.seconds:
                raise NotReady(
                    f"'{name}' timed out waiting to be Ready",
                    live,
                    progress.explained() + self._logs(live),
                )
            if self.cancelled.wait(pause):
                raise NotReady(
                    f'Resource operation was cancelled for "{name}"', live, progress.explained()
                )
            live = self.cluster.get(live)
        return live

    def until_gone(self, obj: Object, name: str) -> None:
        """Return once the object is deleted."""
        started = time.monotonic()
        uid = obj.get("metadata", {}).get("uid")
        for pause in self._pauses():
            try:
                live = self.cluster.get(obj, name)
            except (ApiError, NoSuchKind) as error:
                if isinstance(error, NoSuchKind) or error.code == 404:
                    return
                raise
            if uid and live["metadata"]["uid"] != uid:
                return  # already made anew by somebody else
            finalizers = ", ".join(live["metadata"].get("finalizers", []))
            if time.monotonic() - started + pause > self.seconds:
                raise NotReady(
                    f"timed out waiting for '{name}' to be deleted; finalizers might be preventing "
                    f"it ({finalizers})",
                    live,
                    [],
                )
            if self.cancelled.wait(pause):
                raise NotReady(f'Resource operation was cancelled for "{name}"', live, [])

    @staticmethod
    def _pauses() -> itertools.chain[float]:
        return itertools.chain([0.1, 0.2, 0.3], itertools.repeat(0.5))

    def _logs(self, live: Object) -> list[str]:
        """Return the last lines that the object's failing containers wrote."""
        lines = []
        for pod in self._pods(live)[:3]:
            statuses = pod.get("status", {}).get("initContainerStatuses", []) + pod.get(
                "status", {}
            ).get("containerStatuses", [])
            for status in statuses:
                states: Any = status.get("state", {}), status.get("lastState", {})
                ended = [s["terminated"] for s in states if s.get("terminated", {}).get("exitCode")]
                if not ended:
                    continue
                previous = "terminated" not in states[0]
                try:
                    log = self.cluster.request(
                        "GET",
                        self.cluster.path(pod) + "/log",
                        parameters={
                            "container": status["name"],
                            "tailLines": _LOG_LINES,
                            "previous": str(previous).lower(),
                        },
                    )
                except Failure:
                    continue  # a log that is gone explains nothing, and hides nothing else
                lines += [f"[{name_of(pod)} {status['name']}] {line}" for line in log.splitlines()]
        return lines

    def _pods(self, live: Object) -> list[Object]:
        labels = live.get("spec", {}).get("selector", {}).get("matchLabels")
        if live["kind"] == "Job":
            labels = {"batch.kubernetes.io/job-name": name_of(live)}
        if not labels:
            return []
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.cluster.list("v1", "Pod", namespace_of(live), labelSelector=selector)
