"""What a stack keeps already: settings that would lose it are refused, before anything changes."""

import time
from collections.abc import Iterator
from typing import Any

import pulumi

from components import ARTIFACT_STORES, BACKEND_STORES
from settings import Settings, mebibytes

_GUIDE = "docs/moving-data.md"


def refuse_to_lose_it(settings: Settings) -> None:
    """Compare settings with what the last `up` left, however far it came.

    Raises:
        pulumi.RunError: with one line for each setting that would lose data.
    """
    kept = _resources()
    # It comes after the database and the store: before it was there, nobody could log anything.
    if "Deployment mlflow-server" in kept and (lines := list(_losses(settings, kept))):
        project = pulumi.get_project()
        raise pulumi.RunError("\n".join(f"{project}:{line}; see {_GUIDE}" for line in lines))


def _resources() -> dict[str, Any]:
    """Return the outputs of every resource in the stack's state, as ``"<type> <name>"``.

    The engine's own function, and not a StackReference: that would be a resource, and would know
    no more than what the last `up` that succeeded has exported.
    """
    return {
        f"{one['type'].rpartition(':')[2]} {urn.rpartition('::')[2]}": one["outputs"]
        for urn, one in _state().items()
    }


def _state() -> dict[str, Any]:
    """Return what the engine knows of every resource, by URN.

    At this moment the engine notes in a file that the stack is there, and what lies beside that
    file (`.attrs`, of gocloud.dev/blob/fileblob) is emptied before it is written anew: who reads
    in between is told "failed to load checkpoint: EOF". It is whole a moment later.
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
    raise pulumi.RunError(f"what stack {name} keeps already cannot be told: {reason}")


def _losses(settings: Settings, kept: dict[str, Any]) -> Iterator[str]:
    namespace = kept["Deployment mlflow-server"]["metadata"]["namespace"]
    if namespace != settings.namespace:
        yield (
            f"namespace: {settings.namespace!r}; accepted: {namespace!r}, "
            "which holds this stack's data and would be removed"
        )
    for key, kinds, chosen in (
        ("backendStore", BACKEND_STORES, settings.backend_store),
        ("artifactStore", ARTIFACT_STORES, settings.artifact_store),
    ):
        held = [kind for kind, made in kinds.items() if f"{made.__name__} {kind}" in kept]
        if held and chosen not in held:
            yield f"{key}: {chosen!r}; accepted: {held[0]!r}, which holds this stack's data"
    volumes = {
        "postgres-server": ("databaseStorage", settings.database_storage),
        "mysql-server": ("databaseStorage", settings.database_storage),
        "minio-server": ("artifactStorage", settings.artifact_storage),
        "hdfs-datanode-server": ("artifactStorage", settings.artifact_storage),
        "workspace-server": ("workspaceStorage", settings.workspace_storage),
    }
    for server, (key, size) in volumes.items():
        if found := kept.get(f"StatefulSet {server}"):
            (claim,) = found["spec"]["volumeClaimTemplates"]
            before = claim["spec"]["resources"]["requests"]["storage"]
            if mebibytes(size) < mebibytes(before):
                yield f"{key}: {size!r}; accepted: {before} or more: a volume does not shrink"
    if nodes := kept.get("StatefulSet hdfs-datanode-server"):
        count = int(nodes["spec"]["replicas"])
        if settings.hdfs_data_nodes < count:
            yield (
                f"hdfsDataNodes: {settings.hdfs_data_nodes}; accepted: {count} or more: "
                "each may hold the only copy of something"
            )
