"""The choice ``mlflow:artifactStore minio``: MinIO, one server or several."""

from collections.abc import Iterator

from pydantic import Field

from artifact_stores._choice import Choice, Surroundings
from components import Minio, MinioArgs, _defaults
from components.artifact_stores.minio import NUMBERS, NUMBERS_IN_WORDS
from settings import values
from settings.declarations import Refuse
from settings.schema import SharedSettings


class MinioSettings(SharedSettings):
    """MinIO"""

    artifact_replicas: int = Field(
        1,
        ge=1,
        le=16,
        description="artifactStore minio: number of servers, 1, or 4 to 16, each with a volume of "
        "artifactStorage. Several go on when one is lost. Their number cannot change later: see "
        "[high-availability.md](high-availability.md#several-servers-of-minio).",
    )
    artifact_host: values.HostName = Field(
        "mlflow-minio.local", description="artifactStore minio: host name of the S3 endpoint."
    )
    artifact_console_host: values.HostName = Field(
        "mlflow-minio-console.local",
        description="artifactStore minio: host name of the web console.",
    )
    minio_image: values.Image = Field(
        _defaults.MINIO_IMAGE,
        description="Image of MinIO, built from images/minio, or of a server that works the same "
        "way.",
    )


def inputs(settings: MinioSettings, around: Surroundings) -> MinioArgs:
    """Return the inputs of the MinIO server."""
    found: MinioArgs = {
        "namespace": around.place.namespace,
        "retention": around.place.retention,
        "pods": around.pods,
        "image": settings.minio_image,
        "server_image": settings.server_image,
        "storage": settings.artifact_storage,
        "storage_class": settings.storage_class,
        "host": settings.artifact_host,
        "console_host": settings.artifact_console_host,
        "ingress": around.published,
        "client_namespaces": settings.store_clients,
    }
    # Without a rotation and with a single server, a stack has the inputs that it always had.
    if settings.artifact_replicas > 1:
        found["replicas"] = settings.artifact_replicas
    if number := settings.rotation.get("store"):
        found["rotation"] = number
    if number := settings.rotation.get("storeRoot"):
        found["root_rotation"] = number
    return found


def _make(name: str, settings: SharedSettings, around: Surroundings) -> Minio:
    return Minio(name, inputs(MinioSettings.of(settings), around), around.opts)


def _servers(settings: SharedSettings, refuse: Refuse) -> Iterator[str]:
    """Refuse several servers where MinIO is not the store, and numbers that MinIO does not take."""
    number = MinioSettings.of(settings).artifact_replicas
    if number > 1 and settings.artifact_store != "minio":
        yield refuse("artifactReplicas", "1, unless artifactStore is minio")
    elif number not in NUMBERS:
        yield refuse("artifactReplicas", NUMBERS_IN_WORDS)


CHOICE = Choice(
    MinioSettings,
    Minio,
    _make,
    rules_of_all=_servers,
    inputs_of_data={
        "storage": "artifactStorage",
        "replicas": "artifactReplicas",
        "image": "minioImage",
    },
    hosts=("artifactHost", "artifactConsoleHost"),
    secrets=("minio-s3", "minio-console"),
    rank=1,
)
