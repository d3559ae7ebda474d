"""Each version is written once, or in places that agree."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from settings.assembled import SETTINGS

CLONE = Path(__file__).parents[3]
SERVER = CLONE / "images" / "mlflow"
CLIENT = CLONE / "images" / "client"
PATRONI = CLONE / "images" / "patroni"
NAME = r"[a-z0-9][a-z0-9-]*"


def image(setting: str) -> str:
    """Return the default of a setting that names an image."""
    return str(SETTINGS[setting].default)


def constraints(image: Path = SERVER) -> dict[str, str]:
    lines = (image / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    matches = [re.fullmatch(rf"({NAME})==([0-9][0-9a-z.]*)", pin) for pin in pins]
    assert None not in matches, [pin for pin, match in zip(pins, matches, strict=True) if not match]
    return {match[1]: match[2] for match in matches if match}


def requirements(image: Path) -> set[str]:
    lines = (image / "requirements.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("image", [SERVER, CLIENT, PATRONI])
def test_every_requirement_is_pinned(image: Path) -> None:
    required = requirements(image)
    assert required == {line for line in required if re.fullmatch(NAME, line)}
    others = set[str]() if image == PATRONI else {"mlflow"}
    assert {*required, *others} - constraints(image).keys() == set()


def test_the_members_have_no_package_beside_those_that_are_required() -> None:
    """pip is told to take no dependency: all of them are listed."""
    assert requirements(PATRONI) == {*constraints(PATRONI)}


def test_the_members_image_has_the_default_postgresql_and_is_tagged_with_it() -> None:
    base = re.search(r"^ARG POSTGRES_IMAGE=(\S+)$", (PATRONI / "Dockerfile").read_text(), re.M)
    assert base
    assert base[1] == image("postgresImage")
    version, patroni = base[1].partition(":")[2], constraints(PATRONI)["patroni"]
    assert image("patroniImage").startswith(f"mlflow-kubernetes/patroni:{version}-{patroni}-")


def test_the_server_image_is_tagged_with_the_version_of_mlflow_in_it() -> None:
    pins = constraints()
    assert pins["mlflow"] == pins["mlflow-skinny"]
    assert image("serverImage").startswith(f"mlflow-kubernetes/server:{pins['mlflow']}-")


def test_the_workspace_has_the_client_of_the_servers_release() -> None:
    pins = constraints(CLIENT)
    assert pins["mlflow"] == pins["mlflow-skinny"] == constraints()["mlflow"]
    assert image("workspaceImage").startswith(f"mlflow-kubernetes/client:{pins['mlflow']}-")


def test_the_workspace_reaches_hdfs_by_the_servers_own_code_and_has_no_more_of_it() -> None:
    """The server's S3 repository would take over in a client, where it does nothing useful."""

    def registered(image: Path) -> dict[str, str]:
        project = tomllib.loads((image / "pyproject.toml").read_text())["project"]
        found: dict[str, str] = project["entry-points"]["mlflow.artifact_repository"]
        return found

    ours = registered(CLIENT)
    shared = {scheme: registered(SERVER)[scheme] for scheme in ("hdfs", "viewfs")}
    # What only a client sends.
    own = {"mlflow-artifacts": "mlflow_kubernetes.artifacts.checked:CheckedArtifactsRepository"}
    assert ours == shared | own
    named = {place.partition(":")[0] for place in ours.values()}
    needed, seen = set(named), set[str]()
    while unseen := needed - seen:
        seen |= unseen
        for module in unseen:
            text = _file(module).read_text()
            needed |= set(re.findall(r"^from (mlflow_kubernetes[\w.]*) import", text, re.M))
            # A package is imported before its modules.
            needed |= {
                ".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)
            }
    files = sorted(f"mlflow/{_file(module).relative_to(SERVER)}" for module in needed)
    dockerfile = (CLIENT / "Dockerfile").read_text()
    assert sorted(re.findall(r"\bmlflow/mlflow_kubernetes/\S+\.py", dockerfile)) == files
    ignored = (CLONE / "images" / ".dockerignore").read_text()
    assert sorted(re.findall(r"^!(mlflow/.*\.py)$", ignored, re.M)) == files


def test_every_folder_of_the_servers_package_is_let_into_its_build() -> None:
    """By its name: Docker skips a folder that only a wildcard names."""
    package = SERVER / "mlflow_kubernetes"
    folders = {file.parent.relative_to(SERVER).as_posix() for file in package.rglob("*.py")}
    ignored = (SERVER / ".dockerignore").read_text()
    assert set(re.findall(r"^!(mlflow_kubernetes.*)/\*\.py$", ignored, re.M)) == folders


def _file(module: str) -> Path:
    path = SERVER / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_the_client_outside_and_the_one_in_the_workspace_are_the_same() -> None:
    outside = constraints(CLONE / "harness" / "client_packages")
    both = outside.keys() & constraints(CLIENT).keys()
    assert {"mlflow", "scikit-learn"} <= both
    assert {name: outside[name] for name in both} == {
        name: version for name, version in constraints(CLIENT).items() if name in both
    }


def test_mlflow_gets_an_sqlalchemy_driver_that_it_can_use() -> None:
    """psycopg 3 is what SQLAlchemy 2.1 would choose, and what MLflow 3.17 fails on."""
    assert "psycopg2-binary" in constraints()
    assert "psycopg" not in constraints()


def test_mysqls_driver_can_log_in() -> None:
    """PyMySQL leaves what MySQL 9 asks for, caching_sha2_password, to another package."""
    required = (SERVER / "requirements.txt").read_text().splitlines()
    assert {"pymysql", "cryptography"} <= set(required)


def test_the_minio_image_is_tagged_with_the_date_of_its_source() -> None:
    module = (CLONE / "images" / "minio" / "go.mod").read_text()
    version = re.search(r"github\.com/minio/minio v0\.0\.0-(\d{8})\d{6}-[0-9a-f]{12}", module)
    assert version
    assert image("minioImage").startswith(f"mlflow-kubernetes/minio:{version[1]}-")


@pytest.mark.parametrize(
    ("setting", "folders"),
    [
        ("serverImage", ["mlflow"]),
        ("minioImage", ["minio"]),
        ("patroniImage", ["patroni"]),
        # It shares code with the server's.
        ("workspaceImage", ["client", "mlflow"]),
    ],
)
def test_the_tag_of_an_image_changes_with_what_it_is_built_from(
    setting: str, folders: list[str]
) -> None:
    """A stack that is up keeps its pods, and a cluster its images, as long as their names stay."""
    named = image(setting)
    tag = f"{named.rpartition('-')[0]}-{content(*folders)}"
    assert named == tag, (
        "name the new tag in components/_defaults.py, README.md and examples/, "
        "then run `python -m settings.generate`"
    )
    assert tag in (CLONE / "README.md").read_text()


def test_no_example_names_another_image_than_the_stack() -> None:
    ours = {image(setting) for setting in ("serverImage", "minioImage", "workspaceImage")}
    named = {
        found
        for file in (CLONE / "examples").rglob("*")
        if file.is_file()
        for found in re.findall(r"mlflow-kubernetes/\w+:[\w.-]+", file.read_text(errors="replace"))
    }
    assert named
    assert named <= ours


def content(*folders: str) -> str:
    """Return a short hash of all files in folders of `images/`."""
    found = hashlib.sha256()
    for folder in folders:
        for file in sorted((CLONE / "images" / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(f"{file.relative_to(CLONE)}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()[:8]


def test_images_run_as_a_numbered_user_that_is_not_root() -> None:
    """Kubernetes can only prove `runAsNonRoot` on a number."""
    for dockerfile in CLONE.glob("images/*/Dockerfile"):
        last_stage = re.split(r"^FROM ", dockerfile.read_text(), flags=re.MULTILINE)[-1]
        # The official image of PostgreSQL has a user of its own.
        user = "999:999" if dockerfile.parent == PATRONI else "1000:1000"
        assert re.findall(r"^USER (.+)$", last_stage, re.MULTILINE) == [user], dockerfile
