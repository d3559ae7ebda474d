"""A single-node Kubernetes and a Pulumi engine out of package registries alone."""

import os
import shlex
from pathlib import Path

from lab import paths, tools

# What Pulumi's engine looks for on PATH, and the module here that answers.
_PLUGINS = {
    "pulumi-language-python": "lab.plugins.language",
    "pulumi-resource-random": "lab.plugins.random",
    "pulumi-resource-kubernetes": "lab.plugins.kubernetes",
}


def environment() -> dict[str, str]:
    """Return the variables with which `pulumi` and `kubectl` are the lab's and reach its node."""
    programs = ("pulumi", "kubectl")
    tools.build(*programs)
    paths.BIN.mkdir(parents=True, exist_ok=True)
    for name in programs:
        _unfinished(name).symlink_to(tools.program(name))
    for name, module in _PLUGINS.items():
        _unfinished(name).write_text(_launcher(module))
        _unfinished(name).chmod(0o755)
    for name in (*programs, *_PLUGINS):
        _unfinished(name).replace(paths.BIN / name)
    search = [str(paths.BIN), *os.environ.get("PATH", os.defpath).split(os.pathsep)]
    return {
        "PATH": os.pathsep.join(dict.fromkeys(search)),
        "KUBECONFIG": str(paths.KUBECONFIG),
    }


def _unfinished(name: str) -> Path:
    """Return where a program is made ready, so that a run beside this one finds it whole."""
    return paths.BIN / f".{name}.{os.getpid()}"


def _launcher(module: str) -> str:
    python = paths.CLONE / ".venv" / "bin" / "python"
    # -P: Pulumi starts plugins in the program's folder, whose modules must not be taken for ours.
    command = shlex.join([str(python), "-P", "-m", module])
    return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(paths.CLONE))} exec {command} "$@"\n'
