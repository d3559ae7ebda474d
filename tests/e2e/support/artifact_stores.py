"""Facts of each artifact store that a stack does not publish, for tests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Store:
    """An artifact store, under the name by which the settings choose it."""

    name: str
    pods: tuple[str, ...]
    """The components whose pods hold artifacts, or know where they are."""
    root: str
    """The stack's output `artifact_root`."""


MINIO = Store(name="minio", pods=("minio",), root="s3://mlflow")
HDFS = Store(
    name="hdfs",
    pods=("hdfs-datanode", "hdfs-namenode"),
    root="hdfs://hdfs-namenode.{namespace}.svc:8020/mlflow",
)
BUCKET_OUTSIDE = Store(name="s3", pods=(), root="s3://mlflow")
