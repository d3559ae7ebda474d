"""The images that the stack needs, built where its cluster can run them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands._main import CLONE, CommandError, capture, last_line, say, stream
from commands.cluster import Cluster
from lab import images as lab_images

# The settings that name images of ours, and the folder that each is built from unless overridden.
_BUILT_FROM = {"serverImage": "mlflow", "minioImage": "minio"}
# No registry serves this repository: what is named under it is built here.
_OURS = "mlflow-kubernetes/"


def needed(settings: Mapping[str, Any]) -> tuple[list[str], dict[str, Path]]:
    """Return the images of a stack, and the folders that those of ours are built from."""
    # A backend that does not exist has no image; the program says which ones do.
    named = [f"{settings[kind]}Image" for kind in ("backendStore", "artifactStore")]
    images = {
        setting: str(settings[setting])
        for setting in ("serverImage", *named)
        if setting in settings
    }
    builds = {
        images[setting]: CLONE / "images" / folder
        for setting, folder in _BUILT_FROM.items()
        if images.get(setting, "").startswith(_OURS)
    }
    return list(images.values()), builds


def provide(cluster: Cluster, settings: Mapping[str, Any]) -> None:
    """Put the images into the cluster, or say how to."""
    references, builds = needed(settings)
    if cluster.kind == "lab":
        lab_images.provide(references, builds)
    elif cluster.context in _minikube_profiles(cluster):
        for reference, folder in builds.items():
            build_in_minikube(cluster, reference, folder)
    elif builds:
        setting = next(name for name in _BUILT_FROM if settings[name] in builds)
        reference, folder = next(iter(builds.items()))
        pushed = f"REGISTRY/{reference}"
        raise CommandError(
            f"{reference} must come from a registry that {cluster.describe()} pulls from: "
            f"`docker build -t {pushed} {folder.relative_to(CLONE)}`, `docker push {pushed}`, "
            f"and set `mlflow:{setting}: {pushed}` in the stack file"
        )


def _minikube_profiles(cluster: Cluster) -> list[str]:
    if not shutil.which("minikube", path=cluster.environment["PATH"]):
        return []
    answer = capture(["minikube", "profile", "list", "--output=json"], cluster.environment)
    try:
        return [profile["Name"] for profile in json.loads(answer.stdout)["valid"]]
    except (json.JSONDecodeError, KeyError):
        return []


def build_in_minikube(cluster: Cluster, reference: str, folder: Path) -> None:
    """Build an image in minikube, unless it is there."""
    minikube = ["minikube", "--profile", cluster.context, "image"]
    listed = capture([*minikube, "ls"], cluster.environment)
    if listed.returncode:
        raise CommandError(f"minikube's images cannot be listed: {last_line(listed)}")
    # Listed in full: docker.io/ or localhost/, as the container runtime has it.
    if any(f"/{line}".endswith(f"/{reference}") for line in listed.stdout.split()):
        return
    say(f"building {reference} in minikube, usually 3 min ...")
    if stream([*minikube, "build", "--tag", reference, str(folder)], cluster.environment):
        raise CommandError(f"{reference} could not be built in minikube, for the reason above")
