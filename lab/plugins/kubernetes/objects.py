"""Objects between the engine and the cluster: names, secrets, what only the cluster can know."""

from __future__ import annotations

import base64
import contextlib
import copy
import secrets
from typing import Any

from lab.plugins.kubernetes.client import Object, annotation, metadata_of, name_of, namespace_of
from lab.plugins.wire import UNKNOWN, Properties, Secret, has_secret, has_unknown, reveal

AUTONAMED = "pulumi.com/autonamed"
# The API server fills these in; as inputs they would only make differences.
_READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
# The keys that the official provider adds to a resource's state.
_OWN_KEYS = ("__inputs", "__initialApiVersion", "__fieldManager")


def identity(obj: Object) -> str:
    """Return the engine's id of an object: namespace/name."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def normalised(properties: Properties) -> Object:
    """Return a plain object in the spelling that the API server would give it."""
    obj: Object = reveal(properties)
    for key in _READ_ONLY:
        metadata_of(obj).pop(key, None)
    if obj.get("kind") == "Secret" and not has_unknown(obj):
        data = obj.get("data") or {}
        text = obj.pop("stringData", None) or {}
        encoded = {key: base64.b64encode(str(v).encode()).decode() for key, v in text.items()}
        if data or encoded:
            obj["data"] = {key: _reencoded(value) for key, value in data.items()} | encoded
    return obj


def _reencoded(value: Any) -> Any:
    with contextlib.suppress(ValueError, TypeError):
        return base64.b64encode(base64.b64decode(value)).decode()
    return value


def give_name(obj: Object, old: Object, resource: str, autonaming: Any) -> str:
    """Name an object that the program left without a name; returns why not, if it cannot.

    <resource>-<8 hex>, kept for the object's life (metadata/naming.go).
    """
    metadata = obj.setdefault("metadata", {})
    if metadata is UNKNOWN or metadata.get("name") or metadata.get("generateName"):
        return ""
    if annotation(old, AUTONAMED) == "true":
        metadata["name"] = name_of(old)
    elif autonaming is not None and autonaming.mode == autonaming.DISABLE:
        return "autonaming is disabled, resource requires the .metadata.name field to be set"
    elif autonaming is not None and autonaming.proposed_name:
        metadata["name"] = autonaming.proposed_name
    else:
        metadata["name"] = f"{resource}-{secrets.token_hex(4)}"
    if metadata.setdefault("annotations", {}) is not UNKNOWN:
        metadata["annotations"][AUTONAMED] = "true"
    return ""


def mark_secrets(outputs: Properties, inputs: Properties) -> Properties:
    """Copy the secret marks of inputs to outputs; a Secret's data is always secret.

    Follows annotateSecrets (provider.go): an array with one secret is secret as a whole.
    """
    if outputs.get("kind") == "Secret":
        return {
            key: Secret(reveal(value)) if key in ("data", "stringData") else value
            for key, value in outputs.items()
        }
    marked = dict(outputs)
    for key, given in inputs.items():
        if key not in marked:
            continue
        if isinstance(marked[key], dict) and isinstance(given, dict):
            marked[key] = mark_secrets(marked[key], given)
        elif has_secret(given):
            marked[key] = Secret(reveal(marked[key]))
    return marked


def to_state(inputs: Object, live: Object, given: Properties, manager: str) -> Properties:
    """Return what the engine keeps: the live object, and the inputs that made it."""
    return mark_secrets(live, given) | {
        "__inputs": mark_secrets(inputs, given),
        "__initialApiVersion": inputs.get("apiVersion", live.get("apiVersion")),
        "__fieldManager": manager,
    }


def from_state(state: Properties) -> tuple[Object, Object]:
    """Return the inputs and the live object that `to_state` kept."""
    plain = reveal(state)
    live = {key: value for key, value in plain.items() if key not in _OWN_KEYS}
    return normalised(plain.get("__inputs") or {}), live


def with_unknowns(outputs: Properties, given: Properties) -> Properties:
    """Mark as unknown what only the real operation will tell, for a preview's outputs.

    An absent value, or a dry run's made-up one, would let a program compute something wrong.
    """
    guess = copy.deepcopy(outputs)
    guess |= {"status": UNKNOWN, "metadata": guess.get("metadata", {})}
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
        metadata_of(guess)[key] = UNKNOWN
    spec, wanted = guess.get("spec"), given.get("spec")
    if not isinstance(spec, dict):
        return guess
    assigned = {"PersistentVolumeClaim": ("volumeName",), "Service": ("clusterIP", "clusterIPs")}
    kind, service_type = guess.get("kind"), spec.get("type", "ClusterIP")
    if service_type != "ExternalName":
        for key in assigned.get(str(kind), ()):
            spec[key] = wanted.get(key, UNKNOWN) if isinstance(wanted, dict) else UNKNOWN
    if kind == "Service" and service_type in ("NodePort", "LoadBalancer"):
        ports = reveal(wanted).get("ports") if isinstance(wanted, dict) else None
        for index, port in enumerate(spec["ports"] if isinstance(spec.get("ports"), list) else ()):
            asked = ports[index] if isinstance(ports, list) and index < len(ports) else {}
            if isinstance(port, dict):
                port["nodePort"] = asked.get("nodePort", UNKNOWN)
    return guess
