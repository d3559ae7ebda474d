"""The wheel, and a virtual environment outside the clone that holds the wheel and nothing else."""

import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

CLONE = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *arguments: str | Path, folder: Path) -> str:
        """Run the interpreter in ``folder``, and return what it printed."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def lowest_versions() -> list[str]:
    """Return a pin of the lowest release that each dependency's range accepts."""
    pins = []
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        (lowest,) = (part.version for part in requirement.specifier if part.operator == ">=")
        pins.append(f"{requirement.name}=={lowest}")
    return pins


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree without a package index."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    build = ["--no-index", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(CLONE)]
    subprocess.run([*pip, *build], check=True, timeout=600)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="session")
def pinned(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, and with the releases whose plugins the lab has."""
    folder = tmp_path_factory.mktemp("pinned")
    return install(folder / "venv", wheel, CLONE / "requirements.txt")


@pytest.fixture(scope="session")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, and with the lowest releases that the wheel accepts."""
    folder = tmp_path_factory.mktemp("outside")
    constraints = folder / "lowest.txt"
    constraints.write_text("\n".join(lowest_versions()) + "\n")
    return install(folder / "venv", wheel, constraints)


def install(folder: Path, wheel: Path, constraints: Path) -> Environment:
    """Make a virtual environment of the wheel and of what it needs, pinned by ``constraints``."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=600)
    environment = Environment(folder)
    pip = [str(environment.python), "-m", "pip", "--disable-pip-version-check", "install"]
    pip += ["--quiet", "--no-compile", f"--constraint={constraints}", str(wheel)]
    subprocess.run(pip, check=True, timeout=600)
    return environment


@pytest.fixture(scope="session")
def repository(pinned: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository, as `pulumi package add` makes one of its address.

    The provider's virtual environment is there already, which saves the download of its packages.
    """
    folder = tmp_path_factory.mktemp("repository")
    copy_repository(folder)
    (folder / "provider" / "venv").symlink_to(pinned.folder)
    return folder


def copy_repository(folder: Path) -> None:
    """Copy what a commit of the working tree would have."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=CLONE, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.splitlines()):
        if (CLONE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CLONE / name, folder / name)
