"""Refuses settings with which a stack would lose data, and says when its data is gone."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import pulumi

from artifact_stores import CHOICES
from components import (
    Backups,
    ClientWorkspace,
    HeldData,
    Mysql,
    Postgres,
    StackNamespace,
    TrackingServer,
)
from components._component import Component
from settings.assembled import Settings
from settings.schema import BackendStoreKind

_GUIDE = "docs/moving-data.md"
_GUIDE_TO_ROTATION = "docs/rotation.md"
_GUIDE_TO_RESTORE = "docs/restore.md"
_NAME = "mlflow"
"""Name of the components StackNamespace and TrackingServer in __main__.py."""

SETTINGS_OF: dict[type[Component], Mapping[str, str]] = {
    Backups: {"store": "backupStore", "storage": "backupStorage"},
    Postgres: {
        "storage": "databaseStorage",
        "replicas": "databaseReplicas",
        "image": "postgresImage",
        "patroni_image": "patroniImage",
        "former_image": "postgresFormerImage",
    },
    Mysql: {"storage": "databaseStorage", "image": "mysqlImage"},
    **{choice.component: choice.inputs_of_data for choice in CHOICES.values()},
    ClientWorkspace: {"storage": "workspaceStorage"},
}
"""The setting of each input that a component's ``holds`` names. Tests compare the components with
the volumes of each variant, and the settings with the inputs that the components get."""


def refuse_data_loss(settings: Settings) -> str | None:
    """Compare the settings with the stack's state, also where the last `up` has failed.

    Returns:
        The uid of the namespace that holds the stack's data; None if there is no data.

    Raises:
        pulumi.RunError: with one line for each setting with which data would be lost.
    """
    kept = _resources()
    # A stack without a tracking server has no data: the server is made after database and store.
    server = kept.get(f"Deployment {TrackingServer.deployment(_NAME)}")
    if not server:
        return None
    lines = [f"{line}; see {_GUIDE}" for line in _losses(settings, kept, _namespace(server))]
    lines += [f"{line}; see {_GUIDE_TO_ROTATION}" for line in _lowered(settings, kept)]
    if lines:
        project = pulumi.get_project()
        raise pulumi.RunError("\n".join(f"{project}:{line}" for line in lines))
    namespace = kept.get(f"Namespace {StackNamespace.object_name(_NAME)}", {})
    uid: str | None = namespace.get("metadata", {}).get("uid")
    return uid


def tell_of_a_new_namespace(place: StackNamespace, former: str | None) -> None:
    """Warn if the namespace is not the one that held the stack's data: the data is gone.

    Without a refresh, Pulumi does not ask the cluster whether the namespace is there. With one, the
    state has what the refresh found only after the next change. So the uids are compared.
    """

    def compare(both: Sequence[str | None]) -> None:
        name, uid = both
        if former and uid and uid != former:
            pulumi.log.warn(
                f"namespace {name} is another one than at the last `up`, as in a cluster that was "
                "made anew: its volumes are new and empty, and the passwords are the same; "
                f"{_GUIDE_TO_RESTORE} says how to bring a backup back"
            )

    pulumi.Output.all(place.namespace, place.uid).apply(compare)


def _namespace(resource: dict[str, Any]) -> str:
    return str(resource["metadata"]["namespace"])


def _resources() -> dict[str, Any]:
    """Return the outputs of every resource in the stack's state, as ``"<type> <name>"``.

    A StackReference has only the exports of the last successful `up`, and is itself a resource.
    """
    return {
        f"{one['type'].rpartition(':')[2]} {urn.rpartition('::')[2]}": one["outputs"]
        for urn, one in _state().items()
    }


def _state() -> dict[str, Any]:
    """Return the engine's record of every resource, by URN.

    While the program starts, the engine writes the state file and, in two steps, a file of
    attributes beside it (`.attrs`, of gocloud.dev/blob/fileblob). A read between the two steps
    fails with "failed to load checkpoint: EOF". A second read a moment later succeeds.

    Raises:
        pulumi.RunError: if every read fails.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    reason = ""
    for pause in (0.0, 0.1, 0.3, 1.0):
        time.sleep(pause)
        try:
            answer = pulumi.runtime.invoke(
                "pulumi:pulumi:readStackResourceOutputs", {"stackName": name}
            )
        except Exception as failed:  # the SDK raises nothing narrower
            reason = str(failed).rpartition("returned an error: ")[2]
        else:
            outputs: dict[str, Any] = answer.value["outputs"]
            return outputs
    raise pulumi.RunError(f"the state of stack {name} cannot be read: {reason}")


def _losses(settings: Settings, kept: dict[str, Any], namespace: str) -> Iterator[str]:
    """Yield a line for each setting with which data in the namespace would be lost."""
    if namespace != settings.namespace:
        yield (
            f"namespace: {settings.namespace!r}; accepted: {namespace!r}, "
            "which holds this stack's data and would be removed"
        )
    if StackNamespace.made_by_0_1_0(_NAME, kept) and not settings.create_namespace:
        yield "createNamespace: false; accepted: true for the first `up` after release 0.1.0"
    for key, kinds, chosen in (
        ("backendStore", get_args(BackendStoreKind), settings.backend_store),
        ("artifactStore", (*CHOICES,), settings.artifact_store),
    ):
        # The component of a store has the kind as its name, and no other resource has that name.
        held = [kind for kind in kinds if any(key.endswith(f" {kind}") for key in kept)]
        if held and chosen not in held:
            yield f"{key}: {chosen!r}; accepted: {held[0]!r}, which holds this stack's data"
    for component, names in SETTINGS_OF.items():
        inputs = {key: settings.value(name) for key, name in names.items()}
        for outputs, data in _held_by(component, kept):
            for loss in data.losses(outputs, inputs, names.__getitem__):
                yield f"{names[loss.input]}: {loss.value!r}; accepted: {loss.accepted}"


def _lowered(settings: Settings, kept: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each password or key that would be replaced by a former one.

    A database refuses former passwords, and no former key reads what was encrypted anew.
    """
    numbers = dict[str, int](settings.rotation.items())
    stores = [choice.component for choice in CHOICES.values()]
    components: list[type[Component]] = [Postgres, Mysql, *stores, TrackingServer]
    for component in components:
        names = [key.partition(" ")[2] for key in kept if key.startswith(f"{component.__name__} ")]
        for name in names:
            for what, suffix in component.rotates:
                numbered = re.compile(rf"RandomPassword {re.escape(name)}-{suffix}-(\d+)")
                found = [int(match[1]) for match in map(numbered.fullmatch, kept) if match]
                held = max(found, default=0)
                # Without a login, there is no admin.
                needed = what != "admin" or settings.auth == "basic"
                if needed and numbers.get(what, 0) < held:
                    yield f"rotation: {settings.rotation}; accepted: {what} {held} or more"


def _held_by(
    component: type[Component], kept: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], HeldData]]:
    """Yield the outputs and the declaration of each resource that holds data of a component."""
    for resource in kept:
        kind, _, name = resource.partition(" ")
        if kind == component.__name__:
            yield from (
                (kept[found], data)
                for data in component.holds
                if (found := data.resource(name)) in kept
            )
