"""Puts the programs of the node, and those that check the stack, into the cache, by version.

Most are built from pinned Go modules (``tools/*/go.mod``). PyPI has the others ready to run, in
wheels that are pinned by hash (``tools/*/requirements.txt``).
"""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from lab import paths
from lab.locks import held
from lab.processes import run
from lab.progress import LabError, step

_SOURCES = Path(__file__).parent / "tools"
# `go build` writes no version into a program. The release scripts of these projects do so with -X.
_PULUMI_STAMP = "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={version}"
# The engine asks for the plugin of the SDK that the program imports.
_PLUGIN_STAMP = f"-X main.version={version('pulumi-kubernetes')}"
_KUBERNETES_STAMP = " ".join(
    f"-X k8s.io/component-base/version.{stamp}"
    for stamp in ("gitVersion={version}", "gitMajor={major}", "gitMinor={minor}")
)
# A static program also runs in an image without libraries.
_GO = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


@dataclass(frozen=True)
class _Program:
    """One program: the folder with its go.mod, its package, its build time, its version stamp.

    A package of our own, beside that go.mod, begins with a dot. A script is a file of its module.
    A fix, beside that go.mod, names an upstream file, a line of that file, and what is added after
    it.
    """

    module: str
    package: str
    usual: str
    stamp: str = ""
    script: str = ""
    fix: str = ""


def _kubernetes(name: str, usual: str = "1 min") -> _Program:
    return _Program("kubernetes", f"k8s.io/kubernetes/cmd/{name}", usual, _KUBERNETES_STAMP)


# In the order of their builds. The first of Kubernetes' programs takes longest, because Go compiles
# the packages then that all of them share.
_NODE = {
    "pulumi": _Program(
        "pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "4 min", _PULUMI_STAMP
    ),
    "pulumi-language-python-exec": _Program(
        *("pulumi", "github.com/pulumi/pulumi/sdk/v3", "1 s"),
        script="python/cmd/pulumi-language-python-exec",
    ),
    "pulumi-resource-kubernetes": _Program(
        "pulumi-kubernetes", ".", "3 min", _PLUGIN_STAMP, fix="statefulset.json"
    ),
    "kube-apiserver": _kubernetes("kube-apiserver", "4 min"),
    "kubelet": _kubernetes("kubelet"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kube-proxy": _kubernetes("kube-proxy"),
    "kubectl": _kubernetes("kubectl"),
    "local-path-provisioner": _Program(
        "kubernetes", "github.com/rancher/local-path-provisioner", "10 s"
    ),
    "policies": _Program("kubernetes", "./policies", "10 s"),
    "etcd": _Program("etcd", "go.etcd.io/etcd/server/v3", "30 s"),
    "coredns": _Program("coredns", ".", "1 min"),
}
# Built when a test asks for them.
_CHECKERS = {
    "kube-score": _Program("kube-score", "github.com/zegl/kube-score/cmd/kube-score", "1 min"),
    "kubeconform": _Program("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", "10 s"),
    "pulumi-language-yaml": _Program(
        "pulumi-yaml", "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml", "1 min"
    ),
}
_PROGRAMS = _NODE | _CHECKERS
# Programs in wheels, each with its path in the folder that pip installs the wheel into.
_WHEELS = {
    "traefik": Path("bin/traefik"),
    "go": Path("go/bin/go"),
    # Installed when a test asks for it.
    "seaweedfs": Path("bin/weed"),
}


def program(name: str) -> Path:
    """Return the path of a program in the cache, whether the program is there yet or not."""
    if name in _WHEELS:
        return _wheel_folder(name) / _WHEELS[name]
    return _folder(_PROGRAMS[name].module) / name


def build(*names: str) -> None:
    """Build or install the programs that the cache lacks.

    Args:
        names: The programs to provide. Without any, all those of the node.

    Raises:
        LabError: A program cannot be provided; the message says why.
    """
    wanted = names or ("traefik", *_NODE)
    if not _missing(wanted):
        return
    if any(name in _PROGRAMS for name in _missing(wanted)) and not _machine_go():
        wanted = ("go", *wanted)
    with held(paths.TOOLS / ".lock", "builds the programs"):
        missing = _missing(wanted)  # another run may have built them while this one waited
        for number, name in enumerate(missing, start=1):
            place = f"{name} ({number} of {len(missing)})"
            if name in _WHEELS:
                with step(f"installing {place}", usual="10 s"):
                    _install(name)
            else:
                with step(f"building {place}", usual=_PROGRAMS[name].usual):
                    _build(name)


def go() -> Path:
    """Return the Go that builds the programs: the machine's if it is new enough, else PyPI's.

    Raises:
        LabError: PyPI's cannot be installed; the message says why.
    """
    if not _machine_go():
        build("go")
        return program("go")
    return Path(shutil.which("go") or "go")


def _missing(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not program(name).exists()]


def _build(name: str) -> None:
    made = _PROGRAMS[name]
    output = program(name)
    output.parent.mkdir(parents=True, exist_ok=True)
    # The name has this run's number, because the compiler of a killed run may still write to its
    # own file.
    unfinished = output.with_name(f".{name}.{os.getpid()}")
    for left in output.parent.glob(f".{name}.*"):
        left.unlink()
    if made.script:
        shutil.copyfile(_upstream(made.module, made.package) / made.script, unfinished)
    else:
        _compile(made, unfinished)
    unfinished.rename(output)


def _compile(made: _Program, output: Path) -> None:
    with tempfile.TemporaryDirectory() as copy:
        fixed = _fixed(made, Path(copy, "fixed")) if made.fix else []
        run(
            *(go(), "build", "-trimpath", f"-ldflags={_ldflags(made)}", "-o", output),
            # -s and -w drop the data that debuggers read. With -dwarf=false the compiler does not
            # make these data, which saves an eighth of its time (CoreDNS: 108 s, before 124 s).
            *("-gcflags=all=-dwarf=false", *fixed, made.package),
            cwd=_SOURCES / made.module,
            more=_GO,
        )


def _fixed(made: _Program, folder: Path) -> list[str]:
    """Return the arguments with which `go build` uses a corrected copy of an upstream module."""
    sources = _SOURCES / made.module
    fix = json.loads((sources / made.fix).read_text())
    upstream = _upstream(made.module, fix["module"])
    shutil.copytree(upstream, folder, copy_function=shutil.copyfile)
    file = folder / fix["file"]
    before, found, after = file.read_text().partition(fix["after"])
    if not found:
        raise LabError(f"{fix['file']} of {fix['module']} lacks the line that {made.fix} names")
    file.write_text(before + found + fix["add"] + after)
    shutil.copyfile(sources / "go.sum", folder / "fixed.sum")
    (folder / "fixed.mod").write_text(
        f"{(sources / 'go.mod').read_text()}\nreplace {fix['module']} => {folder}\n"
    )
    return [f"-modfile={folder / 'fixed.mod'}"]


def _upstream(module: str, package: str) -> Path:
    """Return the folder of a Go module, in the version that the lab's go.mod pins."""
    download = (go(), "mod", "download", "-json", package)
    return Path(json.loads(run(*download, cwd=_SOURCES / module, more=_GO))["Dir"])


def _install(name: str) -> None:
    """Install the wheel of a program into the cache; pip checks the wheel's hash."""
    folder = _wheel_folder(name)
    for left in paths.TOOLS.glob(f".{folder.name}.*"):
        shutil.rmtree(left)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile"]
    pip += ["--requirement", str(wheel_pin(name)), "--target", str(unfinished)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        # pip's first line with this word has the reason; advice and details follow.
        reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
        raise LabError(f"installing {name} failed: {reason.removeprefix('ERROR: ')}")
    unfinished.rename(folder)


def wheel_pin(name: str) -> Path:
    """Return the file that pins the wheel of a program, as pip reads it."""
    return _SOURCES / name / "requirements.txt"


def _wheel_folder(name: str) -> Path:
    key = hashlib.sha256(wheel_pin(name).read_bytes()).hexdigest()[:12]
    return paths.TOOLS / f"{name}-{key}"


def _ldflags(made: _Program) -> str:
    if made.package.startswith("."):
        return f"-s -w {made.stamp}"
    repository = made.package.partition("/cmd/")[0]
    pinned = re.search(
        rf"^\s*(?:require )?{re.escape(repository)} (v(\d+)\.(\d+)\S*)",
        (_SOURCES / made.module / "go.mod").read_text(),
        re.MULTILINE,
    )
    if pinned is None:
        raise LabError(f"lab/tools/{made.module}/go.mod does not pin {repository}")
    whole, major, minor = pinned.groups()
    return f"-s -w {made.stamp.format(version=whole, major=major, minor=minor)}".strip()


@functools.cache
def _folder(module: str) -> Path:
    sources = sorted(path for path in (_SOURCES / module).rglob("*") if path.is_file())
    parts = [source.read_bytes() for source in sources]
    parts += [_ldflags(made).encode() for made in _PROGRAMS.values() if made.module == module]
    parts.append((_machine_go() or wheel_pin("go").read_text()).encode())
    return paths.TOOLS / f"{module}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"


@functools.cache
def _machine_go() -> str:
    """Return the version of the machine's Go; empty if no Go here is as new as the go.mods ask."""
    if shutil.which("go") is None:
        return ""
    # With GOTOOLCHAIN=local, Go tells its own version, and downloads none that a go.mod asks for.
    found = run("go", "env", "GOVERSION", check=False, more={"GOTOOLCHAIN": "local"}).strip()
    mods = [mod.read_text() for mod in _SOURCES.glob("*/go.mod")]
    asked = max(_numbers(line) for mod in mods for line in re.findall(r"^go (.+)$", mod, re.M))
    return found if _numbers(found) >= asked else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
