"""Third-party programs that only tests need in the cluster, in images built from packages."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands.support.cluster import Cluster, Source
from commands.support.lab_cluster import LabCluster
from harness.kubectl import OTHERS_LABEL, Kubectl
from harness.programs import run
from lab import tools


def provide(cluster: Cluster, image: str, folder: Path) -> None:
    """Build an image where the cluster can run it."""
    if not cluster.provide([image], {image: Source(folder, folder)}):
        pytest.skip(f"{cluster.describe()} is no minikube, which could build {image}")


def module(cluster: Cluster, name: str, folder: Path) -> Path:
    """Return where the files of a Go module are that an image is built from, checked by its sum."""
    command = [str(tools.go()), "mod", "download", "-json", name]
    told = run(command, cluster.environment, seconds=120, folder=folder)
    return Path(json.loads(told.stdout)["Dir"])


@contextmanager
def applied(cluster: Cluster, kubectl: Kubectl, files: Sequence[Path]) -> Iterator[None]:
    """Have what is in the files in a cluster, unless it is there already: then it is a user's."""
    named = [f"--filename={file}" for file in files]
    if there := kubectl("get", "--ignore-not-found", "--output=name", *named).split():
        if not isinstance(cluster, LabCluster):
            pytest.skip(f"the cluster has {there[0]} already, which would not survive the test")
        # A run that was killed may have left it.
        kubectl("delete", "--ignore-not-found", *named, seconds=120)
    try:
        kubectl("apply", "--server-side", *named)
        kubectl("label", OTHERS_LABEL, *named)
        yield
    finally:
        kubectl("delete", "--ignore-not-found", *named, seconds=120)
