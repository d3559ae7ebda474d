"""The Python language host: starts the user's program and tells the engine what it needs.

Follows pulumi-language-python 3.256 with the `pip` toolchain and a `virtualenv` option.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from lab.plugins.protocol import language_pb2, language_pb2_grpc, plugin_pb2
from lab.plugins.wire import Failure, decode, rpc, serve

_RUNNER = Path(__file__).with_name("run_program.py")
_CLONE = str(Path(__file__).resolve().parents[3])  # our launcher puts it on PYTHONPATH
_ALREADY_SHOWN = 32  # exit code of a program that has told the user what went wrong


class _Python:
    """The interpreter that a project's runtime options ask for."""

    def __init__(self, info: Any) -> None:
        options = decode(info.options)
        toolchain = options.get("toolchain", "pip")
        if toolchain != "pip":
            raise Failure(f"the lab knows the toolchain 'pip' only, not {toolchain!r}")
        chosen = options.get("virtualenv", "")
        self.option = chosen
        self.environment = Path(info.root_directory, chosen) if chosen else None
        self.program = str(self.environment / "bin/python") if self.environment else "python3"

    def ready(self) -> bool:
        return self.environment is None or Path(self.program).exists()

    def check(self) -> None:
        if not self.ready():
            raise Failure(
                f"The 'virtualenv' option in Pulumi.yaml is set to {self.option!r}, but "
                f"{str(self.environment)!r} doesn't appear to be a virtual environment; "
                "`pulumi install` makes it."
            )

    def variables(self) -> dict[str, str]:
        """Return the environment that activating the virtual environment would give."""
        variables = dict(os.environ)
        paths = variables.pop("PYTHONPATH", "").split(os.pathsep)
        if others := [path for path in paths if path not in ("", _CLONE)]:
            variables["PYTHONPATH"] = os.pathsep.join(others)
        if self.environment:
            variables.pop("PYTHONHOME", None)
            variables["VIRTUAL_ENV"] = str(self.environment)
            variables["PATH"] = f"{self.environment / 'bin'}{os.pathsep}{variables['PATH']}"
        return variables

    def tell(self, expression: str) -> str:
        """Return what an expression over `sys` and `sysconfig` is in that interpreter."""
        code = f"import sys, sysconfig; print({expression})"
        result = subprocess.run(
            [self.program, "-c", code], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise Failure(f"{self.program} does not run: {result.stderr.strip()}")
        return result.stdout.strip()

    def packages(self) -> list[Path]:
        """Return the folders with the installed packages, without a start of Python if we can."""
        if self.environment:
            return sorted(self.environment.glob("lib/python*/site-packages"))
        return [Path(self.tell("sysconfig.get_path('purelib')"))]


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Serves the language `python`."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def Handshake(self, request: Any, _context: Any) -> Any:
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, _request: Any, _context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    @rpc
    def GetRequiredPackages(self, request: Any, _context: Any) -> Any:
        python = _Python(request.info)
        python.check()
        packages = []
        for folder in python.packages():
            for file in sorted(folder.glob("*/pulumi-plugin.json")):
                plugin = json.loads(file.read_text())
                if plugin.get("resource"):
                    packages.append(
                        plugin_pb2.PackageDependency(
                            name=plugin["name"],
                            kind="resource",
                            version="v" + plugin["version"].removeprefix("v"),
                            server=plugin.get("server", ""),
                        )
                    )
        return language_pb2.GetRequiredPackagesResponse(packages=packages)

    @rpc
    def Run(self, request: Any, context: Any) -> Any:
        python = _Python(request.info)
        python.check()
        arguments = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "parallel": request.parallel,
            "dry_run": request.dryRun,
        }
        command = [python.program, "-P", str(_RUNNER), json.dumps(arguments)]
        variables = python.variables()
        variables["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        variables["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        # What the program prints goes to our own output, which the engine shows to the user.
        process = subprocess.Popen(
            [*command, request.info.entry_point, *request.args],
            cwd=request.pwd or None,
            env=variables,
            stdin=subprocess.DEVNULL,
        )
        with self._lock:
            self._running.add(process)
        context.add_callback(lambda: self._interrupt(process))
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        if code == _ALREADY_SHOWN:
            return language_pb2.RunResponse(bail=True)
        error = f"program exited with non-zero exit code: {code}" if code else ""
        return language_pb2.RunResponse(error=error)

    def _interrupt(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if process in self._running:
                process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """End the programs that still run: without us they could only fail."""
        for process in list(self._running):
            process.kill()

    def Cancel(self, _request: Any, _context: Any) -> Any:
        for process in list(self._running):
            self._interrupt(process)
        return Empty()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        def say(text: str) -> Any:
            return language_pb2.InstallDependenciesResponse(stdout=text.encode())

        try:
            python = _Python(request.info)
            folder = Path(request.info.program_directory)
            steps = []
            if not python.ready():
                steps.append([sys.executable, "-m", "venv", str(python.environment)])
            if (folder / "requirements.txt").exists():
                steps.append([python.program, "-m", "pip", "install", "-r", "requirements.txt"])
            yield say("Installing dependencies...\n\n")
            for step in steps:
                process = subprocess.Popen(
                    step,
                    cwd=folder,
                    env=python.variables(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                yield from map(say, process.stdout or ())
                if process.wait():
                    raise Failure(f"{' '.join(step)} failed with exit code {process.returncode}")
            yield say("Finished installing dependencies\n\n")
        except Failure as failure:
            context.abort(grpc.StatusCode.UNKNOWN, str(failure))

    def RuntimeOptionsPrompts(self, _request: Any, _context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    @rpc
    def About(self, request: Any, _context: Any) -> Any:
        python = _Python(request.info)
        return language_pb2.AboutResponse(
            executable=python.tell("sys.executable"),
            version=python.tell("'.'.join(map(str, sys.version_info[:3]))"),
            metadata={"toolchain": "Pip"},
        )

    @rpc
    def GetProgramDependencies(self, request: Any, _context: Any) -> Any:
        python = _Python(request.info)
        python.check()
        found = metadata.distributions(path=[str(folder) for folder in python.packages()])
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=package.name, version=package.version)
                for package in sorted(found, key=lambda package: package.name.lower())
            ]
        )


def _register(server: grpc.Server, engine: str) -> Callable[[], None]:
    host = LanguageHost(engine)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    return host.stop


if __name__ == "__main__":
    serve(_register)
