"""The content of the wheel, and its dependencies."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.library.conftest import CLONE, PROJECT, Environment, copy_repository
from tests.source import imported

PACKAGE = "pulumi_mlflow_kubernetes"
README = CLONE / "examples" / "README.md"


def test_the_wheel_holds_the_components_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = {name for name in archive.namelist() if ".dist-info/" in name}
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "components"]
    tracked = subprocess.run(listed, cwd=CLONE, capture_output=True, text=True, check=True)
    expected = {name.replace("components", PACKAGE, 1) for name in tracked.stdout.split()}
    assert names == expected
    assert f"{PACKAGE}/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_the_wheel_asks_for_what_the_components_import() -> None:
    """And for nothing else: neither the lab nor the commands come along."""
    names = packages_distributions()
    modules = CLONE.glob("components/**/*.py")
    packages = {name for module in modules for name in imported(module)}
    needed = {canonicalize_name(names[name][0]) for name in packages - set(sys.stdlib_module_names)}
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == needed


def test_the_pins_of_the_program_are_in_the_ranges_of_the_wheel() -> None:
    lines = (CLONE / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name])


def test_the_version_is_newer_than_the_last_release_in_the_changelog() -> None:
    lines = (CLONE / "CHANGELOG.md").read_text().splitlines()
    releases = [
        line.split("]")[0].removeprefix("## [") for line in lines if line.startswith("## [")
    ]
    assert releases[0] == "Unreleased"
    assert Version(PROJECT["version"]) > Version(releases[1])


def test_a_program_gets_the_package_from_the_address_of_a_repository(
    wheel: Path, tmp_path: Path
) -> None:
    """By the line of examples/README.md; git takes the address for a repository on this machine."""
    (line,) = re.findall(r"^pulumi-mlflow-kubernetes @ .*$", README.read_text(), re.M)
    repository, installed = tmp_path / "repository", tmp_path / "installed"
    copy_repository(repository)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for arguments in (
        *(["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=release"]),
        ["tag", "release"],
    ):
        subprocess.run([*git, *arguments], cwd=repository, check=True, timeout=60)
    requirements = tmp_path / "requirements.txt"
    # Not file://, which the pip of Python 3.11 does not accept after a name.
    address = "https://git.example/mlflow-kubernetes"
    for named, given in {"<address of this repository>": address, "<tag>": "release"}.items():
        assert named in line
        line = line.replace(named, given)
    requirements.write_text(line)
    # Without a package index, as the fixture `wheel`: the tools and dependencies are here already.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    pip += ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    pip += [f"--target={installed}", f"--requirement={requirements}"]
    rewritten = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
    }
    subprocess.run(pip, check=True, timeout=600, env=os.environ | rewritten)
    with zipfile.ZipFile(wheel) as archive:
        built = {
            name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name
        }
    files = (file for file in (installed / PACKAGE).rglob("*") if file.is_file())
    got = {file.relative_to(installed).as_posix(): file.read_bytes() for file in files}
    assert got == built


def test_pulumi_is_not_sent_to_look_for_a_plugin_of_the_wheels_name(
    outside: Environment, tmp_path: Path
) -> None:
    """Pulumi's Python host takes a package called ``pulumi-<name>`` for the SDK of a plugin
    ``<name>``, and asks for its download, unless the package says that it has none."""
    ask = f"from importlib.resources import files; print(files('{PACKAGE}')/'pulumi-plugin.json')"
    file = Path(outside.run("-c", ask, folder=tmp_path).strip())
    assert outside.folder in file.parents
    assert '"resource": false' in file.read_text()
