"""What only tests need in the cluster: images of somebody else's programs, built from packages."""

import json
from pathlib import Path

from commands import images
from commands.cluster import Cluster
from lab import images as lab_images
from lab.images import Source
from tests.e2e.programs import run


def provide(cluster: Cluster, image: str, folder: Path) -> None:
    """Build an image where the cluster can run it."""
    source = Source(folder, folder)
    if cluster.kind == "lab":
        lab_images.provide([image], {image: source})
    else:
        images.build_in_minikube(cluster, image, source)


def module(cluster: Cluster, name: str, folder: Path) -> Path:
    """Return where the files of a Go module are that an image is built from, checked by its sum."""
    command = ["go", "mod", "download", "-json", name]
    told = run(command, cluster.environment, seconds=120, folder=folder)
    return Path(json.loads(told.stdout)["Dir"])
