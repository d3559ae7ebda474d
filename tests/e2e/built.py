"""What only tests need in the cluster: somebody else's programs, in images built from packages."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands import images
from commands.cluster import Cluster
from lab import images as lab_images
from lab.images import Source
from tests.e2e.kubectl import OTHERS_LABEL, Kubectl
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


@contextmanager
def applied(cluster: Cluster, kubectl: Kubectl, files: Sequence[Path]) -> Iterator[None]:
    """Have what is in the files in a cluster, unless it is there already: then it is a user's."""
    named = [f"--filename={file}" for file in files]
    if there := kubectl("get", "--ignore-not-found", "--output=name", *named).split():
        if cluster.kind != "lab":
            pytest.skip(f"the cluster has {there[0]} already, which would not survive the test")
        # A run that was killed may have left it.
        kubectl("delete", "--ignore-not-found", *named, seconds=120)
    try:
        kubectl("apply", "--server-side", *named)
        kubectl("label", OTHERS_LABEL, *named)
        yield
    finally:
        kubectl("delete", "--ignore-not-found", *named, seconds=120)
