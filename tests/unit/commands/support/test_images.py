"""Which images are built, from which folder, and where."""

from pathlib import Path

import pytest

from commands.support import images, stack
from commands.support.cluster import Cluster, Source, UsersCluster
from commands.support.console import CLONE, CommandError
from tests.unit.commands.conftest import Program

DEFAULTS = stack.settings("minikube")
SERVER, CLIENT = DEFAULTS.server_image, DEFAULTS.workspace_image
MINIO = DEFAULTS.images["minioImage"]
RCLONE = DEFAULTS.rclone_image
MLFLOW_SOURCE = Source(CLONE / "images/mlflow", CLONE / "images/mlflow")
MINIO_SOURCE = Source(CLONE / "images/minio", CLONE / "images/minio")


def _cluster(context: str, path: Path) -> Cluster:
    return UsersCluster(context, {"PATH": str(path / "bin")})


def test_by_default_our_two_are_built_and_the_database_is_only_named() -> None:
    references, builds = images.needed(DEFAULTS)
    assert sorted(references) == sorted([SERVER, MINIO, DEFAULTS.postgres_image, RCLONE])
    assert builds == {SERVER: MLFLOW_SOURCE, MINIO: MINIO_SOURCE}


@pytest.mark.parametrize("asked", [True, "true"])
def test_the_workspaces_image_is_built_where_there_is_a_workspace(asked: object) -> None:
    references, builds = images.needed(stack.settings("minikube", clientWorkspace=asked))
    assert CLIENT in references
    assert builds[CLIENT] == Source(CLONE / "images/client", CLONE / "images")


def test_the_members_image_is_built_where_there_are_several() -> None:
    references, builds = images.needed(stack.settings("minikube", databaseReplicas=3))
    # The official image has the programs that dump and restore.
    assert {DEFAULTS.patroni_image, DEFAULTS.postgres_image} <= {*references}
    source = Source(CLONE / "images/patroni", CLONE / "images/patroni")
    assert builds[DEFAULTS.patroni_image] == source


def test_only_the_chosen_database_is_provided() -> None:
    references, _ = images.needed(stack.settings("minikube", backendStore="mysql"))
    assert DEFAULTS.mysql_image in references
    assert DEFAULTS.postgres_image not in references


def test_a_registry_is_in_front_of_every_name_and_ours_are_still_built() -> None:
    references, builds = images.needed(stack.settings("minikube", imageRegistry="mirror.example/a"))
    assert sorted(references) == sorted(
        f"mirror.example/a/{name}" for name in (SERVER, MINIO, DEFAULTS.postgres_image, RCLONE)
    )
    assert list(builds) == [f"mirror.example/a/{SERVER}", f"mirror.example/a/{MINIO}"]


def test_backends_outside_the_stack_need_the_programs_that_back_them_up() -> None:
    database = {"backendStore": "external", "databaseSecret": "their-database"}
    bucket = {"artifactStore": "s3", "s3Bucket": "their-bucket"}
    references, builds = images.needed(stack.settings("minikube", **database, **bucket))
    assert list(builds) == [SERVER]
    programs = [RCLONE, DEFAULTS.postgres_image, DEFAULTS.mysql_image]
    assert sorted(references) == sorted([SERVER, *programs])


def test_another_cluster_with_a_registry_pulls_by_itself(home: Path) -> None:
    images.provide(
        _cluster("office", home), stack.settings("minikube", imageRegistry="mirror.example")
    )


def test_an_image_of_the_users_is_not_built() -> None:
    _, builds = images.needed(stack.settings("minikube", serverImage="registry.example/mlflow:1"))
    assert list(builds) == [MINIO]


def test_minikube_builds_only_what_it_lacks(home: Path, program: Program) -> None:
    program(
        "minikube",
        f"""echo "$@" >> {home}/calls
        case "$*" in
          *"profile list"*) echo '{{"valid": [{{"Name": "minikube"}}]}}' ;;
          *"image ls"*) echo docker.io/{SERVER} ;;
        esac""",
    )
    images.provide(_cluster("minikube", home), stack.settings("minikube", clientWorkspace=True))
    built = [call for call in (home / "calls").read_text().splitlines() if " build " in call]
    assert built == [
        f"--profile minikube image build --tag {MINIO} --file Dockerfile {CLONE / 'images/minio'}",
        "--profile minikube image build "
        f"--tag {CLIENT} --file client/Dockerfile {CLONE / 'images'}",
    ]


def test_a_build_that_fails_is_one_line(home: Path, program: Program) -> None:
    program(
        "minikube",
        """case "$*" in
          *"profile list"*) echo '{"valid": [{"Name": "minikube"}]}' ;;
          *build*) exit 3 ;;
        esac""",
    )
    with pytest.raises(CommandError, match="could not be built in minikube"):
        images.provide(_cluster("minikube", home), DEFAULTS)


@pytest.mark.usefixtures("program")
def test_another_cluster_is_told_how_to_get_the_image(home: Path) -> None:
    with pytest.raises(CommandError) as failure:
        images.provide(_cluster("office", home), DEFAULTS)
    text = str(failure.value)
    build = f"docker build -t REGISTRY/{SERVER} -f images/mlflow/Dockerfile images/mlflow"
    assert f"`{build}`" in text
    assert f"`docker push REGISTRY/{SERVER}`" in text
    assert f"`mlflow:serverImage: REGISTRY/{SERVER}`" in text


@pytest.mark.usefixtures("program")
def test_another_cluster_with_images_of_its_own_is_not_held_up(home: Path) -> None:
    own = {"serverImage": "registry.example/mlflow:1", "minioImage": "registry.example/minio:1"}
    images.provide(_cluster("office", home), stack.settings("minikube", **own))
