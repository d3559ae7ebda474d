"""Reads pod options in Kubernetes' own JSON, which settings hold, into inputs of components."""

import sys
import typing
from collections.abc import Awaitable, Collection, Mapping, Sequence
from types import UnionType
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.pod_options import (
    UNPRINTABLE,
    PodArgs,
    PodResources,
    Unacceptable,
    mistakes,
    shown,
)

_SET_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_CHOICES = {
    ("TolerationArgsDict", "effect"): ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    ("TolerationArgsDict", "operator"): ("Exists", "Equal"),
    ("TopologySpreadConstraintArgsDict", "when_unsatisfiable"): ("DoNotSchedule", "ScheduleAnyway"),
    ("TopologySpreadConstraintArgsDict", "node_affinity_policy"): ("Honor", "Ignore"),
    ("TopologySpreadConstraintArgsDict", "node_taints_policy"): ("Honor", "Ignore"),
    ("NodeSelectorRequirementArgsDict", "operator"): (*_SET_OPERATORS, "Gt", "Lt"),
    ("LabelSelectorRequirementArgsDict", "operator"): _SET_OPERATORS,
}
"""Texts that Kubernetes takes, by type and field: the SDK says only that these are texts.
Source: the API reference of Kubernetes 1.34, core/v1 and meta/v1."""
_UNIONS = (typing.Union, UnionType)
_UNKNOWN_YET = (Awaitable, pulumi.Output)
"""Types by which the SDK marks values that are known later."""
_SHAPES: dict[str, Any] = {
    "image_pull_secrets": Sequence[k8s.core.v1.LocalObjectReferenceArgsDict],
    "node_selector": Mapping[str, str],
    "tolerations": Sequence[k8s.core.v1.TolerationArgsDict],
    "affinity": k8s.core.v1.AffinityArgsDict,
    "topology_spread_constraints": Sequence[k8s.core.v1.TopologySpreadConstraintArgsDict],
    "priority_class_name": str,
    "labels": Mapping[str, str],
    "annotations": Mapping[str, str],
    "env": Sequence[k8s.core.v1.EnvVarArgsDict],
    "resources": PodResources,
    "run_as_user": int,
    "run_as_group": int,
    "fs_group": int,
    "user_from_platform": bool,
    "service_account_annotations": Mapping[str, str],
}
"""Type of each option; a test compares the names with ``PodArgs``."""


def from_kubernetes(options: object) -> PodArgs:
    """Return the pod options in a JSON object whose keys are in camelCase.

    Args:
        options: the JSON object, parsed.

    Raises:
        Unacceptable: naming the first value that no pod can have, and what is accepted.
    """
    read = cast("PodArgs", _object(options, _SHAPES, (), "", ""))
    for mistake in mistakes(read, camel_case):
        raise mistake
    return read


def _read(value: object, shape: Any, where: str) -> object:
    """Return a value of Kubernetes' JSON as the SDK takes it.

    Raises:
        Unacceptable: if the value is not of the type ``shape``.
    """
    origin = typing.get_origin(shape)
    if typing.is_typeddict(shape):
        hints = _fields(shape)
        required = cast("frozenset[str]", shape.__required_keys__)
        return _object(value, hints, required, where, shape.__name__)
    if origin is Mapping or (origin and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            raise Unacceptable(where, "an object with texts as values")
        inner = _inner(typing.get_args(shape)[1])
        given = cast("Mapping[str, object]", value)
        return {key: _read(one, inner, f"{where}.{shown(key)}") for key, one in given.items()}
    if origin and issubclass(origin, Sequence):
        if not isinstance(value, list):
            raise Unacceptable(where, "a list")
        inner = _inner(typing.get_args(shape)[0])
        elements = cast("list[object]", value)
        return [_read(one, inner, f"{where}[{index}]") for index, one in enumerate(elements)]
    # In Python a bool is an int.
    if type(value) is not shape:
        kinds = {str: "a text", int: "a whole number", bool: "true or false"}
        raise Unacceptable(where, kinds[shape])
    if isinstance(value, str) and UNPRINTABLE.search(value):
        raise Unacceptable(where, "a text without control characters")
    return value


def _object(
    value: object, fields: Mapping[str, Any], required: Collection[str], where: str, kind: str
) -> dict[str, object]:
    names = {camel_case(key): key for key in fields}
    accepted = ", ".join(names)
    if not isinstance(value, Mapping):
        raise Unacceptable(where, f"an object with {accepted}")
    given = cast("Mapping[str, object]", value)
    result: dict[str, object] = {}
    for name, one in given.items():
        path = f"{where}.{shown(name)}" if where else shown(name)
        if name not in names:
            raise Unacceptable(path, f"{accepted}; {name!r:.50} is none of them")
        key = names[name]
        result[key] = _read(one, fields[key], path)
        choices = _CHOICES.get((kind, key))
        if choices and one not in choices:
            raise Unacceptable(path, " or ".join(choices))
    for key in fields:
        if key in required and key not in result:
            raise Unacceptable(where, f"with {camel_case(key)}, which is required")
    return result


def _fields(shape: Any) -> dict[str, Any]:
    """Return the type of each field of a TypedDict of the SDK, without Pulumi's own wrappers."""
    # The SDK's annotations are texts, whose names are in two modules.
    names = {**vars(pulumi.output), **vars(sys.modules[shape.__module__])}
    hints = typing.get_type_hints(shape, globalns=names)
    return {key: _inner(hint) for key, hint in hints.items()}


def _inner(hint: Any) -> Any:
    """Return the type inside a ``pulumi.Input``."""
    for one in typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,):
        origin = typing.get_origin(one) or one
        if one is not type(None) and origin not in _UNKNOWN_YET:
            return _inner(one) if typing.get_origin(one) in _UNIONS else one
    raise TypeError(hint)


def camel_case(key: str) -> str:
    """Return the name of an option as Kubernetes writes it."""
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)
