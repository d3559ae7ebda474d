"""The images that the stack needs, built where its cluster can run them."""

from collections.abc import Mapping
from typing import Any

from commands.support.cluster import Cluster, Source
from commands.support.console import CLONE, CommandError
from settings import mirrored

_IMAGES = CLONE / "images"
# The settings that name images of ours, and what each is built from unless overridden.
_BUILT_FROM = {
    "serverImage": Source(_IMAGES / "mlflow", _IMAGES / "mlflow"),
    "minioImage": Source(_IMAGES / "minio", _IMAGES / "minio"),
    # It shares code with the server's.
    "workspaceImage": Source(_IMAGES / "client", _IMAGES),
}
# No registry serves this repository: what is named under it is built here.
_OURS = "mlflow-kubernetes/"


def needed(settings: Mapping[str, Any]) -> tuple[list[str], dict[str, Source]]:
    """Return the images of a stack, and what those of ours are built from."""
    used = [
        "serverImage",
        *(f"{settings[kind]}Image" for kind in ("backendStore", "artifactStore")),
    ]
    # `pulumi config set` writes a text.
    if str(settings["clientWorkspace"]).lower() == "true":
        used.append("workspaceImage")
    # A backend that does not exist has no image; the program says which ones do.
    images = {
        setting: mirrored(str(settings[setting]), settings["imageRegistry"])
        for setting in used
        if setting in settings
    }
    builds = {
        images[setting]: source
        for setting, source in _BUILT_FROM.items()
        if setting in images and str(settings[setting]).startswith(_OURS)
    }
    return list(images.values()), builds


def provide(cluster: Cluster, settings: Mapping[str, Any]) -> None:
    """Put the images of a stack into the cluster, or say how to."""
    references, builds = needed(settings)
    registry = str(settings["imageRegistry"])
    if cluster.provide(references, builds, registry) or registry or not builds:
        return
    setting = next(name for name in _BUILT_FROM if settings[name] in builds)
    reference, source = next(iter(builds.items()))
    pushed = f"REGISTRY/{reference}"
    dockerfile = source.folder.relative_to(CLONE) / "Dockerfile"
    context = source.context.relative_to(CLONE)
    raise CommandError(
        f"{reference} must come from a registry that {cluster.describe()} pulls from: "
        f"`docker build -t {pushed} -f {dockerfile} {context}`, `docker push {pushed}`, "
        f"and set `mlflow:{setting}: {pushed}` in the stack file, or `mlflow:imageRegistry: "
        "REGISTRY` where it has all of them"
    )
