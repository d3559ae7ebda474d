"""The images of a stack, and how they get into its cluster."""

from commands.support.cluster import Cluster, Source
from commands.support.console import CLONE, CommandError
from settings.assembled import Settings
from settings.values import mirrored

_IMAGES = CLONE / "images"
# The settings that name images of this project, with the sources of each image.
_BUILT_FROM = {
    "serverImage": Source(_IMAGES / "mlflow", _IMAGES / "mlflow"),
    "minioImage": Source(_IMAGES / "minio", _IMAGES / "minio"),
    "patroniImage": Source(_IMAGES / "patroni", _IMAGES / "patroni"),
    # This image shares code with the server's.
    "workspaceImage": Source(_IMAGES / "client", _IMAGES),
}
# Prefix of the names of images that are built here.
_OURS = "mlflow-kubernetes/"


def needed(settings: Settings) -> tuple[list[str], dict[str, Source]]:
    """Return the images of a stack, and the sources of those that are built here."""
    used = ["serverImage", "rcloneImage", "postgresFormerImage"]
    used += [setting.key for setting in settings.store.own]
    if settings.backend_store == "external":
        # Backups need the programs of the database, which the address names. It may be encrypted.
        used += ["postgresImage", "mysqlImage"]
    else:
        used.append(f"{settings.backend_store}Image")
    if settings.database_replicas > 1:
        used.append("patroniImage")
    if settings.client_workspace:
        used.append("workspaceImage")
    # A backend outside the stack has no image.
    images = {setting: name for setting, name in settings.images.items() if setting in used}
    ours = mirrored(_OURS, settings.image_registry)
    builds = {
        images[setting]: source
        for setting, source in _BUILT_FROM.items()
        if setting in images and images[setting].startswith(ours)
    }
    return list(images.values()), builds


def provide(cluster: Cluster, settings: Settings) -> None:
    """Put the images of a stack into the cluster.

    Raises:
        CommandError: with the commands to run, if the cluster pulls images that are built here.
    """
    references, builds = needed(settings)
    registry = settings.image_registry or ""
    if cluster.provide(references, builds, registry) or registry or not builds:
        return
    reference, source = next(iter(builds.items()))
    setting = next(name for name, image in settings.images.items() if image == reference)
    pushed = f"REGISTRY/{reference}"
    dockerfile = source.folder.relative_to(CLONE) / "Dockerfile"
    context = source.context.relative_to(CLONE)
    raise CommandError(
        f"{reference} must come from a registry that {cluster.describe()} pulls from: "
        f"`docker build -t {pushed} -f {dockerfile} {context}`, `docker push {pushed}`, "
        f"and set `mlflow:{setting}: {pushed}` in the stack file, or `mlflow:imageRegistry: "
        "REGISTRY` where it has all of them"
    )
