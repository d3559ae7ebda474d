"""Every Dockerfile of ours builds with any builder, and through any mirror.

The lab builds them. `docker build` built them once, by hand; `minikube image build` was not tried.
"""

import ast
import re
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[3]
DOCKERFILES = sorted(
    [*CLONE.glob("images/*/Dockerfile"), *CLONE.glob("tests/e2e/support/*/Dockerfile")]
)
# What a command asks for packages, and the build argument that points it at a mirror.
MIRRORS = {
    r"\bpip\b.*\binstall\b|\$install\b": "PIP_INDEX_URL",
    r"\bgo (build|get|install|list|mod)\b": "GOPROXY",
    r"\bapt(-get)? ": "APT_MIRROR",
    r"\bmvn\b": "MAVEN_MIRROR",
}
# These two read it from the environment by themselves, which a build argument is.
BY_THEMSELVES = {"PIP_INDEX_URL", "GOPROXY"}
BUILDKIT_ONLY = (
    r"^#\s*(syntax|check)=",
    r"^RUN\s+--",
    r"^(COPY|ADD)\s.*--(chmod|link|checksum|parents|exclude|keep-git-dir)\b",
    r"^(RUN|COPY|ADD)\s.*<<-?['\"]?\w+",
    r"\$\{?(BUILD|TARGET)(PLATFORM|OS|ARCH|VARIANT)\b",
)


def stages(dockerfile: Path) -> list[str]:
    """Return the stages, with the lines of each instruction put together."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile.read_text())
    return re.split(r"^(?=FROM )", joined, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_no_builder_is_asked_for_more_than_all_of_them_do(dockerfile: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", dockerfile.read_text())
    for pattern in BUILDKIT_ONLY:
        assert not re.search(pattern, text, re.MULTILINE), pattern


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_whatever_is_downloaded_comes_through_a_mirror_that_is_named(dockerfile: Path) -> None:
    for stage in stages(dockerfile):
        for command in re.findall(r"^RUN .*$", stage, re.MULTILINE):
            before = stage[: stage.index(command)]
            for pattern, argument in MIRRORS.items():
                if re.search(pattern, command):
                    assert re.search(rf"^ARG {argument}$", before, re.MULTILINE), command
                    assert argument in BY_THEMSELVES or f"${argument}" in command, command


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_every_base_image_is_a_build_argument(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    given = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+:\S+)$", text, re.MULTILINE))
    own = {"scratch", *re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE)}
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - own
    assert bases == {f"${{{name}}}" for name in given}


def test_no_component_names_an_image() -> None:
    """components/_defaults.py does: one place to pin them, from which Pulumi.yaml is generated."""
    others = {*CLONE.glob("components/**/*.py")} - {CLONE / "components/_defaults.py"}
    for source in (*others, CLONE / "__main__.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                looks = re.fullmatch(
                    r"[a-z0-9][-._/:a-z0-9]*(:v?\d[\w.-]*|@sha256:\w+)", node.value
                )
                assert not looks, f"{source.name}: {node.value}"
            if isinstance(node, ast.keyword) and node.arg == "image":
                # `HeldData` is given the name of the input.
                named = isinstance(node.value, ast.Constant) and node.value.value != "image"
                assert not named, source.name
