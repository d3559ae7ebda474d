"""What a change means: which fields differ, and which of them need a new object.

The rules are those of pulumi-kubernetes 4.34 (provider/pkg/provider/diff.go and provider.go): the
live object, pruned to the shape of the old inputs, is compared with the new inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from lab.plugins.kubernetes.client import Object
from lab.plugins.wire import UNKNOWN

ADD, DELETE, UPDATE = "ADD", "DELETE", "UPDATE"
Path = tuple[str | int, ...]

_SELECTOR = (".spec.selector",)
_STATEFUL_SET = (
    ".spec.podManagementPolicy",
    ".spec.revisionHistoryLimit",
    ".spec.selector",
    ".spec.serviceName",
    ".spec.volumeClaimTemplates",
)
_CLAIM = (".spec.accessModes", ".spec.selector", ".spec.storageClassName", ".spec.volumeName")
_VOLUME_SOURCES = """awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume
flocker gcePersistentDisk glusterfs hostPath iscsi local nfs photonPersistentDisk portworxVolume
quobyte rbd scaleIO storageos vsphereVolume"""
_POD_FIELDS = """affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks
hostAliases hostIPC hostNetwork hostPID hostname imagePullSecrets nodeName nodeSelector overhead
preemptionPolicy priority priorityClassName readinessGates restartPolicy runtimeClassName
schedulerName securityContext serviceAccount serviceAccountName shareProcessNamespace subdomain
terminationGracePeriodSeconds volumes"""
_CONTAINER_FIELDS = """args command env image imagePullPolicy lifecycle livenessProbe ports
readinessProbe resources securityContext stdin stdinOnce terminationMessagePath
terminationMessagePolicy tty volumeDevices volumeMounts workingDir"""
_POD = [f".spec.{field}" for field in _POD_FIELDS.split()] + [
    f".spec.{containers}[*].{field}"
    for containers in ("containers", "initContainers")
    for field in _CONTAINER_FIELDS.split()
]
_REPLACING: dict[tuple[str, str], Iterable[str]] = {
    ("apps/v1", "DaemonSet"): _SELECTOR,
    ("apps/v1", "Deployment"): _SELECTOR,
    ("apps/v1", "StatefulSet"): _STATEFUL_SET,
    ("batch/v1", "Job"): (
        ".spec.completions",
        ".spec.parallelism",
        ".spec.selector",
        ".spec.template",
    ),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): (".roleRef",),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): (".roleRef",),
    ("storage.k8s.io/v1", "StorageClass"): (".parameters", ".provisioner"),
    ("v1", "PersistentVolume"): [f".spec.{source}" for source in _VOLUME_SOURCES.split()],
    ("v1", "PersistentVolumeClaim"): _CLAIM,
    ("v1", "Pod"): _POD,
    ("v1", "ResourceQuota"): (".spec.scopes",),
    ("v1", "Service"): (".spec.clusterIP",),
}


def replacing_fields(obj: Object, *, mutable_secrets: bool, mutable_config_maps: bool) -> list[str]:
    """Return the fields of an object that cannot change in place."""
    fields = [".metadata.name", ".metadata.namespace"]
    kind = (str(obj.get("apiVersion", "")).removeprefix("core/"), obj.get("kind", ""))
    immutable = obj.get("immutable") is True
    if kind == ("v1", "Secret"):
        replaced = immutable or not mutable_secrets
        return fields + ([".type", ".stringData", ".data"] if replaced else [".type"])
    if kind == ("v1", "ConfigMap"):
        replaced = immutable or not mutable_config_maps
        return fields + ([".binaryData", ".data"] if replaced else [])
    return [*fields, *_REPLACING.get(kind, ())]


def prune(live: Any, shape: Any, before: Any = None, path: Path = ()) -> Any:
    """Keep of a live value what the shape also has: the rest is the cluster's business.

    The API server drops what is empty and respells quantities. Neither is a difference, so the
    shape's own spelling is kept, unless an empty value was in the live object `before`.
    """
    before = live if before is None else before
    if isinstance(live, dict) and isinstance(shape, dict):
        before = before if isinstance(before, dict) else {}
        kept = {}
        for key, wanted in shape.items():
            if key in live:
                kept[key] = prune(live[key], wanted, before.get(key), (*path, key))
            elif not wanted and key not in before:
                kept[key] = wanted
        return kept
    if isinstance(live, list) and isinstance(shape, list):
        before = before if isinstance(before, list) else []
        before = [*before, *live[len(before) :]]
        return [
            prune(value, wanted, old, (*path, index))
            for index, (value, wanted, old) in enumerate(zip(live, shape, before, strict=False))
        ]
    return shape if _same(live, shape, path) else live


def differences(old: Any, new: Any, path: Path = ()) -> dict[Path, str]:
    """Return what must be added, deleted and updated to come from an old value to a new one."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[Path, str] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in new or (new[key] is None and old.get(key) is not None):
                found[*path, key] = DELETE
            elif key in old:
                found |= differences(old[key], new[key], (*path, key))
            elif new[key] is not None:
                found[*path, key] = ADD
        return found
    if isinstance(old, list) and isinstance(new, list):
        found = {}
        for index in range(max(len(old), len(new))):
            if index >= len(new):
                found[*path, index] = DELETE
            elif index >= len(old):
                found[*path, index] = ADD
            else:
                found |= differences(old[index], new[index], (*path, index))
        return found
    return {} if _same(old, new, path) else {path: UPDATE}


def _same(old: Any, new: Any, path: Path) -> bool:
    """Say whether two plain values mean the same to the API server."""
    if isinstance(old, bool) or isinstance(new, bool) or new is UNKNOWN:
        return old is new and new is not UNKNOWN
    if old == new:
        return True
    if path[:1] != ("spec",) or _QUANTITIES.isdisjoint(path):
        return False
    amount = _quantity(old)
    return amount is not None and amount == _quantity(new)


_QUANTITIES = {"limits", "requests", "capacity", "hard", "sizeLimit"}
_UNITS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_UNITS = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def _quantity(value: Any) -> Decimal | None:
    """Return the amount of a Kubernetes quantity such as 500m or 1Gi, if it is one."""
    match = re.fullmatch(r"([+-]?[0-9.]+)([numkMGTPE]?|[KMGTPE]i)", str(value))
    if match is None or match[1].count(".") > 1:
        return None
    amount, unit = Decimal(match[1]), match[2]
    if unit in _BINARY_UNITS:
        return amount * Decimal(1024) ** (_BINARY_UNITS.index(unit) + 1)
    return amount.scaleb(_UNITS[unit])


def needs_new_object(path: Path, fields: Iterable[str]) -> bool:
    """Say whether a change at a path touches one of the fields that cannot change in place.

    A change above such a field touches it too: deleting `spec` deletes `spec.selector`.
    """
    changed = "".join("[*]" if isinstance(part, int) else f".{part}" for part in path)
    return any(_within(changed, field) or _within(field, changed) for field in fields)


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))


def text(path: Path) -> str:
    """Write a path as the engine shows it."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif re.search(r'[."\[\]]', part):
            escaped = part.replace('"', '\\"')
            written += f'["{escaped}"]'
        else:
            written += f".{part}" if written else part
    return written
