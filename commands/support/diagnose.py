"""Why a stack does not come up, by its pods, claims and events."""

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from commands.support.console import capture

Object = dict[str, Any]

_KINDS = "pods,persistentvolumeclaims,events,statefulsets,replicasets,jobs"
_OURS = ("app.kubernetes.io/part-of", "mlflow")
NO_ROOM = "No room is left"
"""Begin of the line that the server logs when a database, a store or /tmp is full."""
_SERVERS = "--selector=app.kubernetes.io/component=tracking-server"
_FULL_MINUTES = 10
_LOG_LINES = 10
_LINE_LENGTH = 300
# This `up` may repair what was broken before it.
_BROKEN_BEFORE_SECONDS = 180

_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_CONFIGURATION = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
# Words of registries and runtimes for an image that does not exist or is refused. Another problem,
# such as a name server that is away, may pass.
_NO_SUCH_IMAGE = re.compile(
    "not found|manifest unknown|does not exist|denied|unauthorized|not present|invalid reference"
)
# Words of registries that ask for a login.
_LOGIN_NEEDED = re.compile("denied|unauthorized|no basic auth credentials|401", re.IGNORECASE)
_LOGIN_TO_MAKE = (
    "make a Secret with the registry's login (`kubectl create secret docker-registry`), and name "
    "the Secret in imagePullSecrets of mlflow:pods"
)
# The scheduler's words for nodes that a pod's own rules exclude. A taint of kubernetes.io means a
# problem of the node.
_RULED_OUT = re.compile(
    r"untolerated taint(?!\(?s?\)? \{node\.kubernetes\.io)|node affinity/selector|topology spread"
)
# Events of an autoscaler that is making a node: the Cluster Autoscaler, Karpenter.
_NODE_TO_COME = {"TriggeredScaleUp", "Nominated"}
# The scheduler's words for a pod that waits for a claim. There is a finding for the claim.
_WAITS_FOR_CLAIM = re.compile("unbound immediate PersistentVolumeClaims|persistentvolumeclaim ")


@dataclass(frozen=True)
class Finding:
    """A problem of one object, and what to do."""

    uid: str
    what: str
    why: str
    to_do: str
    patience: float | None
    """Seconds after which `make up` stops waiting; infinite for a problem that may pass. `None` for
    a Job that has failed for good, at which Pulumi itself stops."""
    log: tuple[str, ...] = ()
    """Arguments of `kubectl logs` for the container's last lines; empty without a container."""


def findings(objects: Iterable[Object], images: Mapping[str, str]) -> list[Finding]:
    """Return the problems of the objects of a stack.

    Args:
        objects: all objects of the stack's namespace.
        images: names of the stack's images, by the settings that name them.
    """
    listed = list(objects)
    pods = [
        pod
        for pod in _of_kind(listed, "Pod")
        if _is_ours(pod) and "deletionTimestamp" not in pod["metadata"]
    ]
    events = sorted(_of_kind(listed, "Event"), key=_when)
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods
        for volume in pod["spec"].get("volumes", [])
        if "persistentVolumeClaim" in volume
    }
    # The claim of backups exists before a pod mounts it. A StatefulSet's claim has no such label.
    claims = [
        claim
        for claim in _of_kind(listed, "PersistentVolumeClaim")
        if (claim["metadata"]["name"] in mounted or _is_ours(claim))
        and claim["status"].get("phase") == "Pending"
    ]
    done = {job["metadata"]["uid"] for job in _of_kind(listed, "Job") if _is(job, "Complete")}
    found: list[Finding] = []
    for claim in claims:
        found += _of_claim(claim, _about(events, claim), pods)
    # Of a Job with several pods, only the newest one counts.
    spoken: set[str] = set()
    for pod in sorted(
        pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True
    ):
        owner = _owner(pod)
        if owner.get("kind") == "Job" and owner["uid"] in done | spoken:
            continue
        spoken.add(owner.get("uid", ""))
        found += _of_pod(pod, _about(events, pod), images)
    for owner in listed:
        if owner["kind"] in ("StatefulSet", "ReplicaSet", "Job") and _is_ours(owner):
            found += _of_owner(owner, _about(events, owner), pods)
    return found


def _of_pod(pod: Object, events: Sequence[Object], images: Mapping[str, str]) -> Iterator[Finding]:
    status, name = pod["status"], pod["metadata"]["name"]
    if status.get("phase") == "Succeeded" or _is(pod, "Ready"):
        return
    uid, what = pod["metadata"]["uid"], f"{_named(_owner(pod))}pod {name}"
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        message = str(scheduled.get("message"))
        if not _WAITS_FOR_CLAIM.search(message):
            yield Finding(
                uid,
                what,
                f"fits on no node: {message}",
                _to_do_for_a_node(message),
                300 if {event["reason"] for event in events} & _NODE_TO_COME else 30,
            )
        return
    for container in [
        *status.get("initContainerStatuses", []),
        *status.get("containerStatuses", []),
    ]:
        if container["ready"]:
            continue
        log = (name, f"--container={container['name']}")
        waiting = container["state"].get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        ended = container["state"].get("terminated") or container["lastState"].get("terminated")
        if reason in _IMAGE:
            yield _of_image(uid, what, container["image"], message, images)
        elif reason in _CONFIGURATION:
            to_do = "`make up` makes what is missing; what is somebody else's has to be there first"
            yield Finding(uid, what, f"cannot start: {message}", to_do, 30)
        elif ended and status["phase"] == "Failed":
            why, to_do = _end(container, ended), "correct what its last line names"
            yield Finding(uid, what, why, to_do, None, log)
        elif ended:
            times = container["restartCount"] + (reason == "CrashLoopBackOff")
            yield Finding(
                uid,
                what,
                f"{_end(container, ended)}, {times} times by now",
                _to_do_after(ended),
                0 if times > 2 else math.inf,
                (*log, "--previous"),
            )
        elif reason and (told := [e["message"] for e in events if e["type"] != "Normal"]):
            yield Finding(uid, what, f"cannot start: {told[-1]}", "see what it names", 120)
        elif told := [event["message"] for event in events if event["reason"] == "Unhealthy"]:
            why = f"runs, and is not ready: {told[-1]}"
            yield Finding(uid, what, why, "its last lines may say why", math.inf, log)


def _to_do_for_a_node(message: str) -> str:
    """Return what to do about a pod that fits on no node, by the scheduler's message."""
    if "Insufficient" not in message and _RULED_OUT.search(message):
        return (
            "correct tolerations, nodeSelector, affinity or topologySpreadConstraints in "
            "mlflow:pods or mlflow:serverPods, or have a node that they let in"
        )
    return (
        "have a node with more room, or ask for less (mlflow:serverMemory, mlflow:workspaceMemory)"
    )


def _of_image(uid: str, what: str, image: str, message: str, images: Mapping[str, str]) -> Finding:
    setting = next(
        (f"mlflow:{key}" for key, name in images.items() if image.endswith(name)),
        "its setting",
    )
    # Kubernetes and the runtime repeat the image's name three times.
    short = re.sub(r'^.*failed to resolve reference "[^"]*": ', "", message, flags=re.DOTALL)
    return Finding(
        uid,
        what,
        f"its image {image} cannot be had: {short}",
        _LOGIN_TO_MAKE
        if _LOGIN_NEEDED.search(message)
        else f"correct {setting}, push the image to its registry, or build it into the cluster "
        "(`make up` does that with images of ours)",
        20 if _NO_SUCH_IMAGE.search(message) else 60,
    )


def _of_claim(claim: Object, events: Sequence[Object], pods: Sequence[Object]) -> Iterator[Finding]:
    name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
    # With this event, the claim waits for its pod, for which there is a finding.
    told = [event for event in events if event["reason"] != "WaitForFirstConsumer"]
    if not told:
        return
    owners = {
        f"{owner['kind'].lower()} {owner['name']}"
        for pod in pods
        for volume in pod["spec"].get("volumes", [])
        if volume.get("persistentVolumeClaim", {}).get("claimName") == name
        and (owner := _owner(pod))
    }
    kubectl = f"kubectl -n {namespace} delete"
    yield Finding(
        claim["metadata"]["uid"],
        f"volume claim {name}",
        f"gets no volume: {told[-1]['message']}",
        "set mlflow:storageClass to one of `kubectl get storageclasses`, and take away what has "
        "the wrong one, which never held anything: "
        + " && ".join(f"{kubectl} {each}" for each in [*sorted(owners), f"pvc {name}"]),
        20 if told[-1]["reason"] in ("ProvisioningFailed", "FailedBinding") else 120,
    )


def _of_owner(owner: Object, events: Sequence[Object], pods: Sequence[Object]) -> Iterator[Finding]:
    """Yield a finding if the owner may not make pods, by a quota or a rule of the namespace."""
    uid, what = owner["metadata"]["uid"], f"{owner['kind']} {owner['metadata']['name']}"
    told = [event["message"] for event in events if event["reason"] == "FailedCreate"]
    wanted = owner.get("spec", {}).get("replicas", 1) and not _is(owner, "Complete")
    if told and wanted and not any(_owner(pod).get("uid") == uid for pod in pods):
        to_do = (
            "correct priorityClassName in mlflow:pods or mlflow:serverPods"
            if "no PriorityClass" in told[-1]
            else "ask for less, or have the namespace's quota or rules changed"
        )
        yield Finding(uid, what, f"may not make its pod: {told[-1]}", to_do, 30)


def _end(container: Object, ended: Object) -> str:
    if ended["reason"] == "OOMKilled":
        limit = container.get("resources", {}).get("limits", {}).get("memory", "its limit")
        return f"container {container['name']} took more memory than {limit} and was killed"
    if ended["reason"] == "StartError":
        return f"container {container['name']} cannot start: {ended.get('message')}"
    return f"container {container['name']} ended with exit status {ended['exitCode']}"


def _to_do_after(ended: Object) -> str:
    if ended["reason"] == "OOMKilled":
        return "give it more (mlflow:serverMemory, mlflow:workspaceMemory)"
    if ended["reason"] == "StartError":
        return "name the right image: this one has no such program"
    return "correct what its last lines name"


def _is_ours(about: Object) -> bool:
    """Return whether an object has the label of a stack's objects."""
    return bool(about["metadata"].get("labels", {}).get(_OURS[0]) == _OURS[1])


def _of_kind(objects: Iterable[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def _about(events: Iterable[Object], about: Object) -> list[Object]:
    uid = about["metadata"]["uid"]
    return [event for event in events if event["involvedObject"].get("uid") == uid]


def _when(event: Object) -> str:
    last = event.get("lastTimestamp") or event.get("eventTime")
    return str(last or event["metadata"]["creationTimestamp"])


def _condition(about: Object, kind: str) -> Object:
    conditions: list[Object] = about["status"].get("conditions") or []
    none: Object = {}
    return next((each for each in conditions if each["type"] == kind), none)


def _is(about: Object, kind: str) -> bool:
    return bool(_condition(about, kind).get("status") == "True")


def _owner(about: Object) -> Object:
    owners: list[Object] = about["metadata"].get("ownerReferences") or [{}]
    owner = owners[0]
    if owner.get("kind") == "ReplicaSet":
        return {**owner, "kind": "Deployment", "name": owner["name"].rpartition("-")[0]}
    return owner


def _named(owner: Object) -> str:
    return f"{owner['kind']} {owner['name']}, " if owner else ""


class Watch:
    """Watches a namespace while Pulumi works on it, and finds when waiting is useless."""

    def __init__(
        self, environment: Mapping[str, str], namespace: str, images: Mapping[str, str]
    ) -> None:
        self._environment, self._images = environment, images
        self._kubectl = ["kubectl", f"--namespace={namespace}", "--request-timeout=10s"]
        self._before = {found.uid for found in self._look()}
        self._since: dict[tuple[str, str], float] = {}
        self._found: list[Finding] = []
        self.hopeless = False

    def __call__(self) -> bool:
        """Look, and return whether a problem has lasted longer than its patience."""
        now, found = time.monotonic(), self._look()
        # The message of one problem changes, for instance with each back-off.
        self._since = {(f.uid, f.to_do): self._since.get((f.uid, f.to_do), now) for f in found}
        self.hopeless = any(now - self._since[f.uid, f.to_do] >= self._patience(f) for f in found)
        if self.hopeless:
            self._found = found
        return self.hopeless

    def explanation(self) -> str:
        """Return the problems since the begin, with the last lines of the containers' logs."""
        return self._tell(self._found or [f for f in self._look() if f.uid not in self._before])

    def everything(self) -> str:
        """Return all problems, as text."""
        return "\n\n".join(filter(None, [self._tell(self._look()), *self._full()]))

    def _full(self) -> list[str]:
        """Return a line for each database, store or /tmp that was full in the last minutes."""
        log = ["logs", _SERVERS, f"--since={_FULL_MINUTES}m", "--tail=-1"]
        said = capture([*self._kubectl, *log], self._environment).stdout
        # Of each place, the last line.
        places = dict(re.findall(rf"({NO_ROOM} in [^:\n]+): ([^\n]*)", said))
        return [
            f"{place}, in the last {_FULL_MINUTES} minutes: {why[:_LINE_LENGTH]}\n  to do: delete "
            "what is not needed and run `make gc OLDER_THAN=0s`, or have a larger volume "
            "(docs/troubleshooting.md)"
            for place, why in places.items()
        ]

    def _tell(self, found: list[Finding]) -> str:
        shown = [each for each in found if each.patience != math.inf] or found
        return "\n\n".join(self._told(each) for each in shown)

    def _patience(self, found: Finding) -> float:
        if found.patience is None:
            return math.inf
        return max(found.patience, _BROKEN_BEFORE_SECONDS if found.uid in self._before else 0)

    def _look(self) -> list[Finding]:
        answer = capture([*self._kubectl, "get", _KINDS, "--output=json"], self._environment)
        if not answer.stdout:
            return []  # Pulumi reports a cluster that does not answer
        # kubectl fails if one of the kinds may not be listed, and prints the others.
        return findings(json.loads(answer.stdout)["items"], self._images)

    def _told(self, found: Finding) -> str:
        lines = [f"{found.what}: {' '.join(found.why.split())}"]
        if found.log:
            tail = ["logs", *found.log, f"--tail={_LOG_LINES}"]
            said = capture([*self._kubectl, *tail], self._environment)
            lines += [f"  | {line[:_LINE_LENGTH]}" for line in said.stdout.splitlines()]
        return "\n".join([*lines, f"  to do: {found.to_do}"])
