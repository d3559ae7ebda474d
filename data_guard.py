"""Refuses settings with which a stack would lose data, before anything changes."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pulumi

from settings import SETTINGS, ArtifactStoreKind, BackendStoreKind, Settings
from settings.values import mebibytes

_GUIDE = "docs/moving-data.md"

Version = tuple[int, ...]


@dataclass(frozen=True)
class Versions:
    """The rule for the versions of a server that can read a volume's data."""

    pattern: re.Pattern[str]
    """Matches the version in a tag, with one group for each number."""
    reads: Callable[[Version, Version], bool]
    """Returns whether the second version can read the volume of the first version."""
    accepted: str
    """Which versions can, with the first version's numbers for ``{0}``, ``{1}`` and ``{all}``."""
    same_name: bool = False
    """Whether the last part of the image's name must not change, because a server of another make
    ignores the volume."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A StatefulSet whose volumes hold data, and the settings by which data can be lost."""

    storage: str | None = None
    """Name of the setting with the size of each volume; None: the size is fixed."""
    count: str | None = None
    """Name of the setting with the number of pods; None: there is one pod."""
    image: str | None = None
    """Name of the setting with the image; None: every image leaves the data as it is."""
    versions: Versions | None = None
    """Which images can read the volume, if there is a setting with the image."""
    upgrade: str | None = None
    """Name of the setting with the former image, by which a pod moves the data to a newer version;
    None: no pod moves data."""


SERVERS = {
    "postgres-server": Server(
        storage="databaseStorage",
        image="postgresImage",
        # Each major version has a data format of its own.
        versions=Versions(
            re.compile(r"(?:.*pg-?|\D*)(\d+)"),
            lambda held, new: held == new,
            "a release of PostgreSQL {0}, whose data is on the volume, or a newer major version "
            "with postgresFormerImage",
        ),
        upgrade="postgresFormerImage",
    ),
    "mysql-server": Server(
        storage="databaseStorage",
        image="mysqlImage",
        # MySQL downgrades within a series alone, and upgrades by one major version at most.
        # https://dev.mysql.com/doc/refman/9.7/en/downgrading.html, .../upgrade-paths.html
        versions=Versions(
            re.compile(r"\D*(\d+)\.(\d+)"),
            lambda held, new: held <= new and new[0] <= held[0] + 1,
            "MySQL {0}.{1} or newer, one major more at most, for its data is on the volume",
        ),
    ),
    "minio-server": Server(
        storage="artifactStorage",
        image="minioImage",
        # The versions of MinIO are dates.
        versions=Versions(
            re.compile(r".*?(20\d\d)[-.]?(\d\d?)[-.]?(\d\d?)|\D*(\d+)\.?(\d+)?\.?(\d+)?"),
            lambda held, new: held <= new,
            "a release of {all} or newer, whose data is on the volume",
            same_name=True,
        ),
    ),
    "hdfs-namenode-server": Server(
        image="hdfsImage",
        versions=Versions(
            re.compile(r"\D*(\d+)\.(\d+)"),
            lambda held, new: held <= new and held[0] == new[0],
            "Hadoop {0}.{1} or a newer one of {0}, for its data is on the volumes",
        ),
    ),
    "hdfs-datanode-server": Server(storage="artifactStorage", count="hdfsDataNodes"),
    "workspace-server": Server(storage="workspaceStorage"),
}
"""Every StatefulSet with volumes, by its name in Pulumi's state; a test compares these names with
the StatefulSets of each variant."""


def refuse_data_loss(settings: Settings) -> None:
    """Compare the settings with the stack's state, also where the last `up` has failed.

    Raises:
        pulumi.RunError: with one line for each setting with which data would be lost.
    """
    kept = _resources()
    # A stack without a tracking server has no data: the server is made after database and store.
    if "Deployment mlflow-server" in kept and (lines := list(_losses(settings, kept))):
        project = pulumi.get_project()
        raise pulumi.RunError("\n".join(f"{project}:{line}; see {_GUIDE}" for line in lines))


def _resources() -> dict[str, Any]:
    """Return the outputs of every resource in the stack's state, as ``"<type> <name>"``.

    A StackReference would not do: it is a resource, and has the exports of the last successful `up`
    alone.
    """
    return {
        f"{one['type'].rpartition(':')[2]} {urn.rpartition('::')[2]}": one["outputs"]
        for urn, one in _state().items()
    }


def _state() -> dict[str, Any]:
    """Return the engine's record of every resource, by URN.

    The engine writes the stack's file while the program starts. It writes the file beside it
    (`.attrs`, of gocloud.dev/blob/fileblob) in two steps, and a read between both fails with
    "failed to load checkpoint: EOF". Another read a moment later succeeds.
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


def _losses(settings: Settings, kept: dict[str, Any]) -> Iterator[str]:
    namespace = kept["Deployment mlflow-server"]["metadata"]["namespace"]
    if namespace != settings.namespace:
        yield (
            f"namespace: {settings.namespace!r}; accepted: {namespace!r}, "
            "which holds this stack's data and would be removed"
        )
    # Release 0.1.0 made the namespace under this name. The engine moves it to its present name when
    # the program makes it. When the program only reads the namespace, the engine would delete it.
    made_by_0_1_0 = "Namespace namespace" in kept and "ConfigMap mlflow-volumes" not in kept
    if made_by_0_1_0 and not settings.create_namespace:
        yield "createNamespace: false; accepted: true for the first `up` after release 0.1.0"
    for key, kinds, chosen in (
        ("backendStore", get_args(BackendStoreKind), settings.backend_store),
        ("artifactStore", get_args(ArtifactStoreKind), settings.artifact_store),
    ):
        # The component of a store is called as its kind; no other resource has that name.
        held = [kind for kind in kinds if any(key.endswith(f" {kind}") for key in kept)]
        if held and chosen not in held:
            yield f"{key}: {chosen!r}; accepted: {held[0]!r}, which holds this stack's data"
    claim = kept.get("PersistentVolumeClaim backup-volume")
    if claim and settings.backup_store == "volume":
        before = claim["spec"]["resources"]["requests"]["storage"]
        yield from _shrunk("backupStorage", settings.backup_storage, before)
    for name, server in SERVERS.items():
        if found := kept.get(f"StatefulSet {name}"):
            yield from _losses_of(server, found, settings)


def _losses_of(server: Server, found: dict[str, Any], settings: Settings) -> Iterator[str]:
    """Yield a line for each setting with which a StatefulSet of the state would lose data."""
    if server.storage:
        size = str(_value(settings, server.storage))
        (claim,) = found["spec"]["volumeClaimTemplates"]
        before = claim["spec"]["resources"]["requests"]["storage"]
        yield from _shrunk(server.storage, size, before)
    if server.count:
        count, held = _value(settings, server.count), int(found["spec"]["replicas"])
        if isinstance(count, int) and count < held:
            yield (
                f"{server.count}: {count}; accepted: {held} or more: "
                "each may hold the only copy of something"
            )
    # An image that never ran has written nothing, so a mistaken name can be corrected.
    if server.image and server.versions and _ready(found):
        image = str(_value(settings, server.image))
        (container,) = found["spec"]["template"]["spec"]["containers"]
        held = container["image"]
        accepted = _unread(server.versions, held, image)
        former = _value(settings, server.upgrade) if server.upgrade else None
        if accepted and former and _newer(server.versions, held, image):
            if _release(server.versions, str(former)) != _release(server.versions, held):
                yield f"{server.upgrade}: {former!r}; accepted: {held!r}, which wrote the volume"
        elif accepted:
            yield f"{server.image}: {image!r}; accepted: {accepted}"


def _shrunk(key: str, size: str, before: str) -> Iterator[str]:
    """Yield a line where a size is less than that of the volume that there is."""
    if mebibytes(size) < mebibytes(before):
        yield f"{key}: {size!r}; accepted: {before} or more: a volume does not shrink"


def _value(settings: Settings, key: str) -> object:
    return getattr(settings, SETTINGS[key].attribute)


def _ready(stateful_set: dict[str, Any]) -> bool:
    """Return whether a pod was ready when the engine last read the StatefulSet."""
    status: dict[str, Any] = stateful_set.get("status") or {"readyReplicas": 1}
    return bool(status.get("readyReplicas"))


def _unread(versions: Versions, held: str, image: str) -> str | None:
    """Return which images are accepted, if an image may not read the volume; None if it may."""
    (name, tag, digest), (new_name, new_tag, new_digest) = map(_parts, (held, image))
    if (digest or held) == (new_digest or image):
        return None
    before, after = _version(versions, tag), _version(versions, new_tag)
    if not after:
        return (
            "a tag that begins with the version, also in front of a digest, because not every "
            "version reads the volume"
        )
    if versions.same_name and new_name != name:
        return f"an image called {name}, whose data is on the volume"
    if before and not versions.reads(before, after):
        return versions.accepted.format(*before, all=".".join(map(str, before)))
    return None


def _newer(versions: Versions, held: str, image: str) -> bool:
    """Return whether both images have a version, and the second version is the newer one."""
    before, after = _release(versions, held), _release(versions, image)
    return bool(before and after and after > before)


def _release(versions: Versions, image: str) -> Version | None:
    """Return the version that the tag of an image names."""
    return _version(versions, _parts(image)[1])


def _parts(image: str) -> tuple[str, str, str]:
    """Return the last part of an image's name, its tag, and its digest."""
    named, _, digest = image.partition("@")
    name, _, tag = named.rpartition("/")[2].partition(":")
    return name, tag, digest


def _version(versions: Versions, tag: str) -> Version | None:
    match = versions.pattern.match(tag)
    return tuple(int(part) for part in match.groups() if part) if match else None
