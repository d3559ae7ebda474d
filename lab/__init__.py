"""A small Kubernetes and a Pulumi engine out of package registries alone."""

import os
import shlex
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from lab import paths, tools

# The folder of `pulumi plugin install`. The engine finds plugins on PATH too, but then prints a
# warning at every step.
_PULUMI_HOME = paths.BIN.parent / "pulumi"
_PROVIDER = "pulumi-resource-kubernetes"
_PROGRAMS = ("pulumi", "pulumi-language-python-exec", _PROVIDER, "kubectl")


def environment(around: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables with which `pulumi` and `kubectl` are the lab's and reach its node.

    Args:
        around: the variables that these are added to; the lab's programs go before its PATH.
    """
    search = [str(paths.BIN), *around.get("PATH", os.defpath).split(os.pathsep)]
    return {
        # By this variable, a process that inherits all of these knows that KUBECONFIG is the lab's.
        "MLFLOW_LAB_HOME": str(paths.CACHE),
        "PATH": os.pathsep.join(dict.fromkeys(search)),
        "KUBECONFIG": str(paths.KUBECONFIG),
        "PULUMI_HOME": str(_PULUMI_HOME),
    }


def prepared() -> bool:
    """Say whether `prepare` would build nothing, and so take no time."""
    return all(tools.program(name).exists() for name in _PROGRAMS)


def prepare() -> None:
    """Put the programs where `environment` finds them, and build those that are missing."""
    tools.build(*_PROGRAMS)
    for name in ("pulumi", "kubectl"):
        _place(paths.BIN / name, program=tools.program(name))
    # The engine looks for the language host in its own folder first.
    _place(paths.BIN / "pulumi-language-python", module="lab.plugins.language")
    _place(_plugin("random"), module="lab.plugins.random")
    _place(_plugin("kubernetes"), program=tools.program(_PROVIDER))


def _plugin(name: str) -> Path:
    """Return where the engine looks for the resource plugin that the program's SDK asks for."""
    folder = f"resource-{name}-v{version(f'pulumi-{name}')}"
    return _PULUMI_HOME / "plugins" / folder / f"pulumi-resource-{name}"


def _place(target: Path, *, program: Path | None = None, module: str = "") -> None:
    """Put a program, or the launcher of a module of the lab, at ``target``.

    The file is renamed into place, so that another run at the same time never finds a part of it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    if program:
        try:
            # Not a symbolic link, which would make the cache the engine's own folder.
            unfinished.hardlink_to(program)
        except OSError:  # the clone is on another file system
            shutil.copy2(program, unfinished)
    else:
        unfinished.write_text(_launcher(module))
        unfinished.chmod(0o755)
    unfinished.replace(target)
    # rename(2) does nothing where both names are links to the same file already.
    unfinished.unlink(missing_ok=True)


def _launcher(module: str) -> str:
    python = paths.CLONE / ".venv" / "bin" / "python"
    # Pulumi starts plugins in the folder of the user's program. With -P, Python does not import
    # modules from that folder.
    command = shlex.join([str(python), "-P", "-m", module])
    return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(paths.CLONE))} exec {command} "$@"\n'
