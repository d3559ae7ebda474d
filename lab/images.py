"""Images for the node: built from images/, or stand-ins for images that only a registry has."""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import node, packages, paths, tools
from lab.locks import held
from lab.machines import Machine
from lab.processes import run
from lab.progress import LabError, say, step

_CACHE = paths.CACHE / "images"
_STAND_INS = Path(__file__).parent / "standins"
# By folder: the official image that the stand-in replaces, and the origin of the programs in it.
_SERVED = {
    "debian": ("debian:trixie", "Debian 13 by mmdebstrap"),
    "golang": ("golang:1.26", "the Go that builds the lab's programs"),
    "hadoop": ("apache/hadoop:3.4", "Maven's HDFS 3.4.2"),
    "maven": ("maven:3.9", "Debian's Maven 3.9"),
    "mysql": ("mysql:9.7", "Debian's MySQL 9.7"),
    "postgres": ("postgres:18", "Debian's PostgreSQL 18"),
    "python": ("python:3.13", "Debian's Python 3.13"),
    "rclone": ("rclone/rclone:1.75", "PyPI's rclone 1.75.2"),
}
_USUAL = {
    "client": "3 min",
    "mlflow": "2 min",
    "minio": "3 min",
    "mysql": "1 min",
    "patroni": "40 s",
    "postgres": "40 s",
    "python": "20 s",
}
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# The folders that debian:<suite>-slim leaves out. The rule holds for later packages too.
_UNWANTED = ("doc", "info", "locale", "man")
_SLIM = "".join(f"path-exclude /usr/share/{name}/*\n" for name in _UNWANTED)
# Lines that buildah adds after the output of the command that failed.
_NOISE = re.compile(r"Error: (building at STEP|exit status)|subprocess exited|time=")


@dataclass(frozen=True)
class Source:
    """What an image is built from."""

    folder: Path
    """Holds the Dockerfile."""
    context: Path
    """The folder that the Dockerfile copies from: ``folder`` itself, or a folder above it."""


@dataclass(frozen=True)
class _Build:
    """The sources of an image, and the builds of the images that its Dockerfile starts from."""

    source: Source
    bases: Mapping[str, "_Build"]

    @property
    def name(self) -> str:
        """Name of the image in messages."""
        return self.source.folder.name

    @functools.cached_property
    def key(self) -> str:
        """Digest of all that decides the image: the same key means the same image."""
        digest = hashlib.sha256(_SLIM.encode())
        context = self.source.context
        for file in sorted(_sources(self.source)):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(context)}\0".encode() + file.read_bytes())
        for argument, base in sorted(self.bases.items()):
            digest.update(f"{argument}={base.key}".encode())
        return digest.hexdigest()[:16]

    @property
    def tag(self) -> str:
        """Name of the image in the build store; no registry has this name."""
        return f"localhost/{self.name}:{self.key}"


def _sources(source: Source) -> set[Path]:
    """Return the files that decide the image.

    Of a context above the folder, these are the files that its .dockerignore lets in.
    """
    found = set(source.folder.rglob("*"))
    if source.context != source.folder:
        ignored = (source.context / ".dockerignore").read_text()
        for pattern in re.findall(r"^!(.+)$", ignored, re.MULTILINE):
            found |= set(source.context.glob(pattern))
    return found


def provide(references: Sequence[str], builds: Mapping[str, Source], mirror: str = "") -> None:
    """Make every image, and load it into each node under the name that Kubernetes looks for.

    Args:
        references: names of the images.
        builds: sources of those that are built, by name. All others get a stand-in.
        mirror: registry at the front of some names. Such a name means the same image as the rest of
            the name.
    """
    with held(_CACHE / ".lock", "makes images"):
        for machine in node.with_containerd():
            present = _present(machine)
            for reference in dict.fromkeys(references):
                name = _normal(reference)
                source = builds.get(reference)
                plain = reference.removeprefix(f"{mirror}/")
                if source is None and name in present and not _stood_in(plain):
                    continue  # put there by the user
                build = _read(source) if source else _stand_in(plain)
                archive = _archive(_normal(plain), build)
                if present.get(name) == _digest(archive):
                    continue
                if source is None:
                    origin = _SERVED[build.name][1]
                    say(f"{reference} is a stand-in, {origin}: no registry is asked")
                with step(f"loading {reference} into the node", usual="10 s"):
                    ctr = functools.partial(node.ctr, machine=machine)
                    ctr("images", "import", archive)
                    if plain != reference:
                        ctr("images", "tag", "--force", _normal(plain), name)


def unpack(reference: str) -> Path:
    """Return a folder with what the stand-in of an image holds, for tests that need no node."""
    with held(_CACHE / ".lock", "makes images"):
        build = _stand_in(reference)
        root = _CACHE / f"{build.name}-{build.key}"
        if root.exists():
            return root
        unfinished = _CACHE / f"{build.name}.unfinished"
        older = _CACHE.glob(f"{build.name}-{'[0-9a-f]' * 16}")
        run("rm", "--recursive", "--force", "--one-file-system", unfinished, *older)
        with _building():
            _make(build)
            container = _buildah("from", "--pull-never", build.tag).strip()
            run("cp", "--archive", _buildah("mount", container).strip(), unfinished)
        return unfinished.rename(root)


def _present(machine: Machine) -> dict[str, str]:
    """Return the digest of each image that the node holds."""
    rows = [line.split() for line in node.ctr("images", "ls", machine=machine).splitlines()[1:]]
    return {row[0]: row[2] for row in rows if len(row) > 2}


def _normal(reference: str) -> str:
    """Write a reference in full, as the kubelet asks containerd for it."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9._-]*", reference):
        raise LabError(f"image {reference!r}: expected [registry/]repository:tag")
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


def _folder(reference: str) -> str:
    return reference.rpartition("/")[2].partition(":")[0]


def _stood_in(reference: str) -> bool:
    if _folder(reference) not in _SERVED:
        return False
    served, _ = _SERVED[_folder(reference)]
    return re.match(rf"{re.escape(_normal(served))}(?![0-9])", _normal(reference)) is not None


def _stand_in(reference: str) -> _Build:
    if not _stood_in(reference):
        served = ", ".join(prefix for prefix, _ in _SERVED.values())
        raise LabError(
            f"image {reference} is in a registry, which the lab does not ask: it stands in for"
            f" {served}; load any other with"
            f" `ctr --address {paths.CONTAINERD_SOCKET} --namespace k8s.io images import`"
        )
    folder = _STAND_INS / _folder(reference)
    return _read(Source(folder, folder))


def _read(source: Source) -> _Build:
    dockerfile = source.folder / "Dockerfile"
    if not dockerfile.exists():
        raise LabError(f"{dockerfile} is missing")
    bases = re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", dockerfile.read_text(), re.MULTILINE)
    return _Build(source, {name: _stand_in(image) for name, image in bases})


def _archive(name: str, build: _Build) -> Path:
    """Return a file that holds the image under this name, made when it is missing."""
    stem = re.sub(r"[/:]", "_", name)
    archive = _CACHE / f"{stem}-{build.key}.tar"
    if archive.exists():
        return archive
    with _building():
        _make(build)
        unfinished = _CACHE / f"{stem}.unfinished"
        unfinished.unlink(missing_ok=True)
        # zstd takes a third of gzip's time to write an archive, and two thirds to load it.
        zstd = ("--compression-format", "zstd", "--compression-level", "1")
        with step(f"packing the image {build.name}", usual="10 s"):
            _buildah("push", *zstd, build.tag, f"oci-archive:{unfinished}:{name}")
        unfinished.rename(archive)
    for old in _CACHE.glob(f"{stem}-*.tar"):
        if old != archive:
            old.unlink()
    return archive


@contextmanager
def _building() -> Generator[None]:
    packages.need("buildah", "mmdebstrap", "debian-archive-keyring", "ca-certificates")
    _buildah("rm", "--all")  # what a killed build left mounted
    try:
        yield
    finally:
        _buildah("rm", "--all")


def _digest(archive: Path) -> str:
    with tarfile.open(archive) as content:
        index = content.extractfile("index.json")
        if index is None:
            raise LabError(f"{archive} is damaged: remove it")
        return str(json.load(index)["manifests"][0]["digest"])


def _make(build: _Build) -> None:
    """Build an image after the images that it starts from, unless the store has them."""
    if _buildah("images", "--quiet", "--filter", f"reference={build.tag}"):
        return
    arguments: dict[str, str] = {}
    mounts: dict[Path, Path] = {}  # the machine's files, by where the build sees them
    source = build.source
    dockerfile = (source.folder / "Dockerfile").read_text()
    if "apt-get" in dockerfile:
        mounts[Path("/etc/apt/apt.conf.d/99-machine")] = _apt_settings()
    if "ARG PIP_INDEX_URL" in dockerfile:
        more_arguments, more_mounts = _pip(dockerfile)
        arguments |= more_arguments
        mounts |= more_mounts
    for argument, base in build.bases.items():
        _make(base)
        arguments[argument] = base.tag
        more_arguments, more_mounts = _toolbox(base.name)
        arguments |= more_arguments
        mounts |= more_mounts
    with step(f"building the image {build.name}", usual=_USUAL.get(build.name, "1 min")):
        context = _debian(source.folder) if build.name == "debian" else source.context
        _logged(
            build.name,
            *_store(),
            *("bud", "--isolation", "chroot", "--layers", "--pull-never", "--tag", build.tag),
            *(f"--build-arg={argument}={value}" for argument, value in arguments.items()),
            *(f"--volume={path}:{target}" for target, path in mounts.items()),
            *("--file", source.folder / "Dockerfile", context),
        )


def _certificates() -> Path:
    """Return the file with the authorities that this machine trusts."""
    return Path(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES)


def _pip(dockerfile: str) -> tuple[dict[str, str], dict[Path, Path]]:
    """Return the arguments and mounts that let a build use this machine's settings of pip."""
    cache = _CACHE / "pip"
    cache.mkdir(exist_ok=True)
    pip = (sys.executable, "-m", "pip", "config", "get")
    index = os.environ.get("PIP_INDEX_URL") or run(*pip, "global.index-url", check=False)
    arguments, place = {"PIP_INDEX_URL": index.strip()}, _CERTIFICATES
    if "ARG PIP_CERT" in dockerfile:
        # Debian's package of authorities is installed there, and cannot replace a mounted file.
        place = Path("/etc/ssl/machine.crt")
        arguments["PIP_CERT"] = str(place)
    return arguments, {Path("/root/.cache/pip"): cache, place: _certificates()}


def _toolbox(base: str) -> tuple[dict[str, str], dict[Path, Path]]:
    """Return the arguments and mounts that let a build on this base use the machine's caches."""
    certificates = _certificates()
    if base == "golang":
        wanted = ("GOROOT", "GOMODCACHE", "GOCACHE", "GOPROXY")
        found = json.loads(run(tools.go(), "env", "-json", *wanted))
        # With the machine's caches, Go compiles no package again that it has compiled here.
        mounts = {
            Path("/usr/local/go"): Path(found["GOROOT"]),
            Path("/go/pkg/mod"): Path(found["GOMODCACHE"]),
            Path("/root/.cache/go-build"): Path(found["GOCACHE"]),
            _CERTIFICATES: certificates,
        }
        return {"GOPROXY": found["GOPROXY"]}, mounts
    if base == "maven":
        cache = _CACHE / "maven"
        cache.mkdir(exist_ok=True)
        mounts = {Path("/root/.m2/repository"): cache, _CERTIFICATES: certificates}
        settings = Path.home() / ".m2/settings.xml"
        if settings.exists():
            mounts[Path("/root/.m2/settings.xml")] = settings
        return {"MAVEN_MIRROR": os.environ.get("MAVEN_MIRROR", "")}, mounts
    return {}, {}


def _debian(folder: Path) -> Path:
    """Return a context that holds a Debian, made from the packages of this machine's mirror."""
    context = _CACHE / "debian"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(folder, context)
    _logged(
        "mmdebstrap",
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--aptopt={_apt_settings()}"),
        # mmdebstrap itself obeys such an option only where it has an equals sign.
        *(f"--dpkgopt={line.replace(' ', '=')}" for line in _SLIM.splitlines()),
        # The image must not have this machine's settings of apt.
        '--customize-hook=rm "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        _SERVED["debian"][0].partition(":")[2],
        context / "root.tar",
        *_mirror(),
    )
    return context


def _mirror() -> list[str]:
    """Return the mirror that this machine's apt uses; without one, mmdebstrap knows its own."""
    fields = ("--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    targets = run("apt-get", "indextargets", *fields, check=False).splitlines()
    found = [target.rpartition("|")[2] for target in targets if target.startswith("Debian|Debian|")]
    return [mirror for mirror in found if mirror.startswith("http")][:1]


def _apt_settings() -> Path:
    """Return a file with what tells this machine's apt how to reach its mirrors."""
    wanted = re.compile(r"Acquire::(https?|Check-|Retries)")
    lines = [line for line in run("apt-config", "dump").splitlines() if wanted.match(line)]
    settings = _CACHE / "apt.conf"
    settings.write_text("".join(f"{line}\n" for line in lines))
    return settings


def _store() -> tuple[str | Path, ...]:
    return (
        *("buildah", "--storage-driver", "overlay"),
        *("--root", _CACHE / "store", "--runroot", _CACHE / "run"),
    )


def _buildah(*arguments: str) -> str:
    return run(*_store(), *arguments)


def _logged(name: str, *command: str | Path) -> None:
    """Run a command with much output, which goes to a file.

    Raises:
        LabError: if the command fails; the message has the last line of its output.
    """
    log = _CACHE / f"{name}.log"
    with log.open("w") as output:
        # With close_fds=False the command holds the lock too, even when the lab is killed.
        done = subprocess.run(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            close_fds=False,
            check=False,
        )
    if done.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        said = [line for line in lines if not _NOISE.match(line)]
        raise LabError(f"making {name} failed: {said[-1] if said else 'no message'} (see {log})")
