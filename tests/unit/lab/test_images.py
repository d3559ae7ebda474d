"""Which image the lab makes for a reference, and when it makes it again.

Builds and loads are not shown here: every end-to-end run on the lab does them.
"""

import shutil
from pathlib import Path

import pytest
import yaml

from lab import images, paths
from lab.machines import FIRST
from lab.progress import LabError

CLONE = Path(__file__).parents[3]


def own(folder: Path) -> images.Source:
    """Return a folder that is its own context."""
    return images.Source(folder, folder)


@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("postgres:18.6", "docker.io/library/postgres:18.6"),
        ("mlflow-kubernetes/server:3.17.2", "docker.io/mlflow-kubernetes/server:3.17.2"),
        ("quay.io/minio/minio:x", "quay.io/minio/minio:x"),
        ("registry:5000/a/b:c", "registry:5000/a/b:c"),
        ("localhost/a:b", "localhost/a:b"),
    ],
)
def test_a_reference_is_written_as_the_kubelet_asks_for_it(reference: str, full: str) -> None:
    assert images._normal(reference) == full


@pytest.mark.parametrize("reference", ["", "postgres", "postgres:", "a b:c", "a@sha256:0", "A:b"])
def test_a_reference_without_a_tag_is_refused_in_one_line(reference: str) -> None:
    with pytest.raises(LabError) as refused:
        images._normal(reference)
    assert str(refused.value) == f"image {reference!r}: expected [registry/]repository:tag"


@pytest.mark.parametrize(
    "reference",
    ["postgres:18", "postgres:18.6", "postgres:18-trixie", "docker.io/library/postgres:18.1"],
)
def test_the_same_major_version_is_stood_in_for(reference: str) -> None:
    assert images._stand_in(reference).name == "postgres"


@pytest.mark.parametrize("reference", ["apache/hadoop:3.4.2", "docker.io/apache/hadoop:3.4"])
def test_an_image_of_an_organisation_is_stood_in_for(reference: str) -> None:
    found = images._stand_in(reference)
    assert (found.name, found.bases.keys()) == ("hadoop", {"DEBIAN_IMAGE", "MAVEN_IMAGE"})


@pytest.mark.parametrize(
    "reference",
    [
        "postgres:17.9",
        "postgres:180",
        "mysql:8.4",
        "quay.io/library/postgres:18",
        "hadoop:3.4.2",
        "apache/hadoop:3.5.0",
        "apache/postgres:18",
    ],
)
def test_any_other_image_is_refused_in_one_line(reference: str) -> None:
    with pytest.raises(LabError, match=f"^image {reference} is in a registry.*postgres:18") as no:
        images._stand_in(reference)
    assert "\n" not in str(no.value)


def test_an_image_in_a_mirror_is_loaded_once_and_tagged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[object, ...]] = []
    monkeypatch.setattr(images, "_CACHE", tmp_path)
    monkeypatch.setattr(images, "_present", lambda _: {})
    monkeypatch.setattr(images, "_archive", lambda name, build: Path(f"{build.name} as {name}"))
    monkeypatch.setattr(images, "_digest", str)
    monkeypatch.setattr(images.node, "with_containerd", lambda: [FIRST])
    monkeypatch.setattr(images.node, "ctr", lambda *words, **_: said.append(words))
    images.provide(["mirror.example/a/postgres:18.6"], {}, mirror="mirror.example/a")
    plain = "docker.io/library/postgres:18.6"
    assert said == [
        ("images", "import", Path(f"postgres as {plain}")),
        ("images", "tag", "--force", plain, "mirror.example/a/postgres:18.6"),
    ]


def test_the_stack_and_its_images_can_be_provided() -> None:
    config = yaml.safe_load((CLONE / "Pulumi.yaml").read_text())["config"]
    for database in ("postgres", "mysql"):
        stand_in = images._stand_in(config[f"{database}Image"]["default"])
        assert (stand_in.name, stand_in.bases.keys()) == (database, {"DEBIAN_IMAGE"})
    for name, base in (("mlflow", "python"), ("minio", "golang"), ("client", "python")):
        built = images._read(own(CLONE / "images" / name))
        assert [found.name for found in built.bases.values()] == [base]


def test_every_stand_in_is_offered_and_every_offer_kept() -> None:
    folders = {folder.name for folder in images._STAND_INS.iterdir() if folder.is_dir()}
    assert folders == images._SERVED.keys()


def test_a_folder_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"^{tmp_path}/Dockerfile is missing$"):
        images._read(own(tmp_path))


def test_an_image_is_made_again_when_what_it_is_made_of_changes(tmp_path: Path) -> None:
    def key() -> str:
        return images._read(own(folder)).key

    folder = Path(shutil.copytree(CLONE / "images" / "minio", tmp_path / "minio"))
    first = key()
    assert first == images._read(own(CLONE / "images" / "minio")).key
    (folder / "go.sum").rename(folder / "go.sums")
    renamed = key()
    (folder / "go.sums").write_text("other\n")
    changed = key()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("left by an import")
    assert len({first, renamed, changed}) == 3
    assert key() == changed


def test_an_image_is_made_again_when_its_wider_context_changes(tmp_path: Path) -> None:
    context = Path(shutil.copytree(CLONE / "images", tmp_path / "images"))
    source = images.Source(context / "client", context)
    before = images._read(source).key
    (context / "mlflow" / "mlflow_kubernetes" / "serve.py").write_text("not in it\n")
    assert images._read(source).key == before
    (context / "mlflow" / "mlflow_kubernetes" / "__init__.py").write_text("other\n")
    assert images._read(source).key != before


def test_an_image_is_made_again_when_its_base_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins = Path(shutil.copytree(images._STAND_INS, tmp_path / "standins"))
    monkeypatch.setattr(images, "_STAND_INS", stand_ins)
    before = images._read(own(CLONE / "images" / "mlflow")).key
    (stand_ins / "debian" / "Dockerfile").write_text("FROM scratch\n")
    assert images._read(own(CLONE / "images" / "mlflow")).key != before


def test_a_failed_build_tells_its_own_last_words_and_where_the_rest_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_CACHE", tmp_path)
    said = "echo one; echo E: no such package >&2; echo subprocess exited with status 1 >&2; exit 1"
    with pytest.raises(LabError) as failed:
        images._logged("thing", "sh", "-c", said)
    log = tmp_path / "thing.log"
    assert str(failed.value) == f"making thing failed: E: no such package (see {log})"
    assert log.read_text().startswith("one\n")


def test_the_cache_is_outside_the_clone() -> None:
    assert CLONE not in paths.CACHE.parents
