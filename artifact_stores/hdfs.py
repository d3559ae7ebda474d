"""The choice ``mlflow:artifactStore hdfs``: an HDFS in the cluster."""

from collections.abc import Iterator

from pydantic import Field

from artifact_stores._choice import Choice, Surroundings
from components import Hdfs, HdfsArgs, _defaults
from settings import values
from settings.declarations import Refuse
from settings.schema import SharedSettings


class HdfsSettings(SharedSettings):
    """HDFS"""

    hdfs_data_nodes: int = Field(
        1, ge=1, le=100, description="artifactStore hdfs: number of DataNodes."
    )
    hdfs_replication: int = Field(
        1,
        ge=1,
        le=100,
        description="artifactStore hdfs: number of DataNodes that hold a copy of each block, at "
        "most hdfsDataNodes.",
    )
    hdfs_image: values.Image = Field(
        _defaults.HDFS_IMAGE,
        description="Image of HDFS: the official image, or one that works the same way, of version "
        "3.4.",
    )


def inputs(settings: HdfsSettings, around: Surroundings) -> HdfsArgs:
    """Return the inputs of the HDFS in the cluster."""
    return {
        "namespace": around.place.namespace,
        "retention": around.place.retention,
        "pods": around.pods,
        "image": settings.hdfs_image,
        "server_image": settings.server_image,
        "storage": settings.artifact_storage,
        "storage_class": settings.storage_class,
        "data_nodes": settings.hdfs_data_nodes,
        "replication": settings.hdfs_replication,
        "client_namespaces": settings.store_clients,
    }


def _make(name: str, settings: SharedSettings, around: Surroundings) -> Hdfs:
    return Hdfs(name, inputs(HdfsSettings.of(settings), around), around.opts)


def _copies(settings: SharedSettings, refuse: Refuse) -> Iterator[str]:
    """Refuse more copies than there are DataNodes."""
    own = HdfsSettings.of(settings)
    if own.hdfs_replication > own.hdfs_data_nodes:
        yield refuse("hdfsReplication", f"hdfsDataNodes, which is {own.hdfs_data_nodes}, or less")


CHOICE = Choice(
    HdfsSettings,
    Hdfs,
    _make,
    rules_of_all=_copies,
    inputs_of_data={
        "storage": "artifactStorage",
        "data_nodes": "hdfsDataNodes",
        "image": "hdfsImage",
    },
    rank=2,
)
