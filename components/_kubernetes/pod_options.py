"""The ``pods`` input of every component: what a platform demands of the pods that run on it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.arguments import applied, changed, known_keys
from .._kubernetes.grammars import NAME
from .._kubernetes.labels import labels as common_labels
from .._kubernetes.labels import metadata
from .._kubernetes.own_variables import OWN_VARIABLES
from .._kubernetes.quantities import amount

if TYPE_CHECKING:
    from pulumi_kubernetes.core.v1 import (
        AffinityArgsDict,
        EnvVarArgsDict,
        LocalObjectReferenceArgsDict,
        TolerationArgsDict,
        TopologySpreadConstraintArgsDict,
    )
else:
    # The component host cannot describe types of another package. In other languages, these inputs
    # have any type, and Kubernetes checks them.
    AffinityArgsDict = EnvVarArgsDict = LocalObjectReferenceArgsDict = Any
    TolerationArgsDict = TopologySpreadConstraintArgsDict = Any


class PodResources(TypedDict):
    """What a container asks for, and what it may take at most."""

    requests: NotRequired[dict[str, str]]
    """Quantities that a node must have free, by resource, such as ``{"cpu": "500m"}``. Defaults to
    the component's own."""
    limits: NotRequired[dict[str, str]]
    """Quantities that the container may not exceed, by resource. Defaults to the component's
    own."""


class PodArgs(TypedDict):
    """What a platform demands of pods. Names and shapes are Kubernetes' own."""

    image_pull_secrets: NotRequired[list[LocalObjectReferenceArgsDict]]
    """Secrets of the namespace with logins for image registries, such as ``[{"name": "login"}]``.
    Defaults to none."""
    node_selector: NotRequired[dict[str, str]]
    """Labels that a node must have. Defaults to none."""
    tolerations: NotRequired[list[TolerationArgsDict]]
    """Taints of nodes that the pods accept. Defaults to none."""
    affinity: NotRequired[AffinityArgsDict]
    """Rules for the choice of a node. A given ``pod_anti_affinity`` replaces the component's own
    rule, by which the pods of one server prefer different nodes. Defaults to that rule."""
    topology_spread_constraints: NotRequired[list[TopologySpreadConstraintArgsDict]]
    """How pods are spread over zones or nodes. A constraint without ``label_selector`` counts the
    pods of the same server. One for a ``topology_key`` replaces the component's own for that key.
    Defaults to the component's own: the members of a database are divided among the nodes."""
    priority_class_name: NotRequired[str]
    """Name of a PriorityClass of the cluster. Defaults to the cluster's default priority."""
    labels: NotRequired[dict[str, str]]
    """Labels of the pods, beside the component's own. Defaults to none."""
    annotations: NotRequired[dict[str, str]]
    """Annotations of the pods, beside the component's own. Defaults to none."""
    env: NotRequired[list[EnvVarArgsDict]]
    """Variables of every container, beside the component's own. Each is a name with a ``value`` or
    a ``value_from``. Defaults to none."""
    resources: NotRequired[PodResources]
    """What the container of each server asks for and may take; entries replace the component's
    own. Jobs keep theirs. Defaults to the component's own."""
    run_as_user: NotRequired[int]
    """Id of the user that the containers run as, above 0. Defaults to the user of the image."""
    run_as_group: NotRequired[int]
    """Id of that user's group. Defaults to ``run_as_user``."""
    fs_group: NotRequired[int]
    """Id of the group to which the volumes belong. Defaults to ``run_as_user``."""
    user_from_platform: NotRequired[bool]
    """Whether the platform assigns the three ids above, as OpenShift does: the pods then ask for
    none. Defaults to ``False``."""
    service_account_annotations: NotRequired[dict[str, str]]
    """Annotations of a ServiceAccount that the component makes, under its own name, for its pods: a
    cloud finds the pods' role in them. Defaults to no such account."""


_KEY = re.compile(rf"({NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
# Characters that XML (Hadoop's files) or YAML (objects sent to Kubernetes) excludes, and halves of
# surrogate pairs, which UTF-8 cannot encode.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_HIGHEST_ID = 2**31 - 1

_COMPONENTS_OWN = "mlflow-kubernetes/"
"""Prefix of labels that open ways through the network, and of annotations that restart pods."""
_SET_BY_KUBERNETES = {
    *("pod-template-hash", "controller-revision-hash", "job-name", "controller-uid"),
    *("statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"),
    *("batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"),
}
"""Labels that the controllers of Kubernetes give their pods."""


class Unacceptable(ValueError):  # noqa: N818 (a value, not a failure of ours)
    """Pod options that no pod can have.

    Attributes:
        where: path to the value, such as ``tolerations[0].effect``.
        accepted: what is accepted there.
    """

    def __init__(self, where: str, accepted: str) -> None:
        super().__init__(f"{where}: {accepted}" if where else accepted)
        self.where, self.accepted = where, accepted


@dataclass(frozen=True)
class PodOptions:
    """The ``pods`` input of one component, checked, and the account that was made for it."""

    given: PodArgs
    account: pulumi.Input[str] | None = None
    """Name of the ServiceAccount that the component's pods run under; none if it made none."""

    def on_server(
        self, template: k8s.core.v1.PodTemplateSpecArgs
    ) -> k8s.core.v1.PodTemplateSpecArgs:
        """Return the template of a server's pods, with these options."""
        return self._on(template, self.given.get("resources", {}))

    def on_job(self, template: k8s.core.v1.PodTemplateSpecArgs) -> k8s.core.v1.PodTemplateSpecArgs:
        """Return the template of a Job's pods, with these options but for the resources."""
        return self._on(template, {})

    def _on(
        self, template: k8s.core.v1.PodTemplateSpecArgs, wanted: PodResources
    ) -> k8s.core.v1.PodTemplateSpecArgs:
        given = self.given
        described = cast("k8s.meta.v1.ObjectMetaArgs", template.metadata)
        spec = cast("k8s.core.v1.PodSpecArgs", template.spec)
        own_labels = cast("pulumi.Input[dict[str, str]]", described.labels)
        return k8s.core.v1.PodTemplateSpecArgs(
            metadata=changed(
                described,
                labels=applied(own_labels, lambda own: {**given.get("labels", {}), **own}),
                annotations={
                    **given.get("annotations", {}),
                    **cast("dict[str, str]", described.annotations),
                },
            ),
            spec=changed(
                spec,
                image_pull_secrets=given.get("image_pull_secrets"),
                node_selector=given.get("node_selector"),
                tolerations=given.get("tolerations"),
                affinity=_affinity(spec.affinity, given.get("affinity")),
                topology_spread_constraints=applied(
                    own_labels,
                    lambda labels: _spread(
                        spec.topology_spread_constraints,
                        given.get("topology_spread_constraints"),
                        labels,
                    ),
                ),
                priority_class_name=given.get("priority_class_name"),
                security_context=_ids(spec.security_context, given),
                service_account_name=applied(
                    spec.service_account_name, lambda name: name or self.account
                ),
                init_containers=[_container(one, given, {}) for one in _list(spec.init_containers)]
                or None,
                containers=[_container(one, given, wanted) for one in _list(spec.containers)],
            ),
        )


def pod_options(
    name: str,
    given: PodArgs | None,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> PodOptions:
    """Check the ``pods`` input of component ``name``, and make the ServiceAccount that it asks for.

    Raises:
        pulumi.RunError: naming the component, the input, and what is accepted.
    """
    given = given or {}
    known_keys(f"{name}.pods", given, PodArgs)
    for mistake in mistakes(given):
        raise pulumi.RunError(f"{name}.pods.{mistake.where}: accepted: {mistake.accepted}")
    annotations = given.get("service_account_annotations")
    if not annotations:
        return PodOptions(given)
    account = k8s.core.v1.ServiceAccount(
        f"{name}-account",
        metadata=metadata(name, namespace, labels, annotations),
        automount_service_account_token=False,
        opts=opts,
    )
    return PodOptions(given, account.metadata.name)


def merged(first: PodArgs, second: PodArgs) -> PodArgs:
    """Return ``first`` with ``second`` on top, as ``kubectl patch`` merges pods.

    Objects are merged key by key, and lists whose elements have names (``env``,
    ``image_pull_secrets``) by name. Any other list or value of ``second`` replaces the first one.
    """
    result = cast("dict[str, Any]", _merged_objects(first, second))
    for key in ("env", "image_pull_secrets"):
        if key in first and key in second:
            lists = (cast("dict[str, Any]", one)[key] for one in (first, second))
            by_name = {one["name"]: one for elements in lists for one in elements}
            result[key] = [*by_name.values()]
    return cast("PodArgs", result)


def shown(name: str) -> str:
    """Return a name for a message of one line."""
    return name if name.isprintable() else ascii(name)[1:-1]


def mistakes(given: PodArgs, spelled: Callable[[str], str] = str) -> Iterator[Unacceptable]:
    """Yield each option that Kubernetes refuses, or that would break a component.

    Args:
        given: options whose shapes are right. Values that are not known yet are not judged.
        spelled: how the caller spells a key, for the path to a mistake.
    """
    for key in ("labels", "annotations", "node_selector", "service_account_annotations"):
        for name, value in cast("Mapping[str, object]", given.get(key, {})).items():
            yield from _wrong_entry(f"{spelled(key)}.{shown(name)}", key, name, value)
    variables = [variable.get("name") for variable in given.get("env", [])]
    for index, variable in enumerate(variables):
        if isinstance(variable, str):
            yield from _wrong_variable(f"env[{index}].name", variable)
    known = [variable for variable in variables if isinstance(variable, str)]
    if len({*known}) < len(known):
        yield Unacceptable("env", "each name once")
    yield from _wrong_resources(given.get("resources", {}))
    yield from _wrong_ids(given, spelled)


def _wrong_entry(where: str, key: str, name: str, value: object) -> Iterator[Unacceptable]:
    if not _KEY.fullmatch(name) or len(name.partition("/")[0]) > 253:
        yield Unacceptable(where, "a name such as example.com/team, of 63 letters at most after /")
    if not isinstance(value, str):
        return
    if key in ("labels", "node_selector"):
        if not _VALUE.fullmatch(value):
            yield Unacceptable(where, "63 letters, digits, dashes, dots and _ at most")
    elif UNPRINTABLE.search(value):
        yield Unacceptable(where, "a text without control characters")
    if re.match(r"([^/]+\.)?pulumi\.com/", name):
        yield Unacceptable(where, "a name outside of pulumi.com/, which the engine reads")
    if key == "labels" and name in {*common_labels("", "", ""), *_SET_BY_KUBERNETES}:
        yield Unacceptable(where, "another label: Kubernetes or this stack sets this one")
    if key in ("labels", "annotations") and name.startswith(_COMPONENTS_OWN):
        yield Unacceptable(where, f"a name outside of {_COMPONENTS_OWN}, which this stack sets")


def _wrong_variable(where: str, name: str) -> Iterator[Unacceptable]:
    if not _VARIABLE.fullmatch(name):
        yield Unacceptable(where, "a variable's name of letters, digits, _, - and .")
    if name in OWN_VARIABLES:
        yield Unacceptable(where, f"another variable than {name}, which this stack sets")


def _wrong_resources(given: PodResources) -> Iterator[Unacceptable]:
    tables = {"requests": given.get("requests", {}), "limits": given.get("limits", {})}
    for kind, table in tables.items():
        for resource, value in table.items():
            where = f"resources.{kind}.{shown(resource)}"
            if not _KEY.fullmatch(resource):
                yield Unacceptable(where, "the name of a resource, such as cpu or nvidia.com/gpu")
            if amount(value) is None:
                yield Unacceptable(where, "a quantity such as 500m, 2 or 1Gi")
    for resource, request in tables["requests"].items():
        limit = tables["limits"].get(resource)
        least, most = amount(request), amount(limit)
        if least is not None and most is not None and least > most:
            yield Unacceptable(f"resources.requests.{resource}", f"{limit}, its limit, or less")


def _wrong_ids(given: PodArgs, spelled: Callable[[str], str]) -> Iterator[Unacceptable]:
    for key, least in (("run_as_user", 1), ("run_as_group", 0), ("fs_group", 0)):
        value = given.get(key)
        if value is None:
            continue
        if isinstance(value, int) and not least <= value <= _HIGHEST_ID:
            yield Unacceptable(spelled(key), f"a number from {least} to {_HIGHEST_ID}")
        if given.get("user_from_platform"):
            accepted = f"nothing with {spelled('user_from_platform')}, which leaves it out"
            yield Unacceptable(spelled(key), accepted)


def _merged_objects(first: object, second: object) -> object:
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    one, other = cast("Mapping[str, object]", first), cast("Mapping[str, object]", second)
    both = {key: _merged_objects(one[key], other[key]) for key in one if key in other}
    return {**one, **other, **both}


def _list(containers: object) -> list[k8s.core.v1.ContainerArgs]:
    return [*cast("Sequence[k8s.core.v1.ContainerArgs]", containers or [])]


def _container(
    container: k8s.core.v1.ContainerArgs, given: PodArgs, wanted: PodResources
) -> k8s.core.v1.ContainerArgs:
    env = given.get("env", [])
    return changed(
        container,
        env=[*cast("Sequence[Any]", container.env or []), *env] if env else None,
        resources=_resources(container.resources, wanted) if wanted else None,
    )


def _resources(own: Any, wanted: PodResources) -> k8s.core.v1.ResourceRequirementsArgs:
    """Return a container's resources with the wanted ones.

    Kubernetes refuses a request above its limit. Where only one of the two is given, the
    component's own other value follows it.
    """
    asked, most = wanted.get("requests", {}), wanted.get("limits", {})
    requests: dict[str, Any] = {**own.requests, **asked}
    limits: dict[str, Any] = {**own.limits, **most}
    for resource in requests.keys() & limits.keys():
        least, highest = amount(requests[resource]), amount(limits[resource])
        if least is not None and highest is not None and least > highest:
            if resource in most:
                requests[resource] = limits[resource]
            else:
                limits[resource] = requests[resource]
    return k8s.core.v1.ResourceRequirementsArgs(requests=requests, limits=limits)


def _affinity(own: Any, given: AffinityArgsDict | None) -> Any:
    if not given or not own:
        return given
    return changed(own, **cast("Mapping[str, object]", given))


def _spread(own: object, given: object, labels: Mapping[str, str]) -> list[Any] | None:
    """Return the constraints, each with a selector: one without a selector would count no pod.

    Args:
        own: the component's own constraints.
        given: those of the options.
        labels: labels of the pods.
    """
    if not given:
        return None
    asked = cast("Sequence[Mapping[str, Any]]", given)
    keys = {one.get("topology_key") or one.get("topologyKey") for one in asked}
    constraints = cast("Sequence[k8s.core.v1.TopologySpreadConstraintArgs]", own or ())
    named = ("app.kubernetes.io/name", "app.kubernetes.io/instance")
    selector = {"match_labels": {key: labels[key] for key in named}}
    return [
        *(one for one in constraints if one.topology_key not in keys),
        *(
            {**one}
            if one.get("label_selector") or one.get("labelSelector")
            else {**one, "label_selector": selector}
            for one in asked
        ),
    ]


def _ids(own: Any, given: PodArgs) -> k8s.core.v1.PodSecurityContextArgs | None:
    user = given.get("run_as_user")
    ids = {
        "run_as_user": user,
        "run_as_group": given.get("run_as_group", user),
        "fs_group": given.get("fs_group", user),
    }
    if given.get("user_from_platform"):
        kept = ("run_as_non_root", "fs_group_change_policy", "seccomp_profile")
        return k8s.core.v1.PodSecurityContextArgs(**{key: getattr(own, key) for key in kept})
    return cast("k8s.core.v1.PodSecurityContextArgs", changed(own, **ids))
