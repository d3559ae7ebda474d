"""The Python language host: starts the user's program and tells the engine what it needs.

Follows pulumi-language-python 3.256 with the `pip` toolchain and a `virtualenv` option. The script
that runs the program is the official one.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import IO, TypeAlias

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from lab.plugins import interrupt_when_orphaned
from lab.tools import program

_Parts: TypeAlias = "queue.SimpleQueue[language_pb2.RunPluginResponse | None]"
_ALREADY_SHOWN = 32  # exit code of a program that has told the user what went wrong


class _Python:
    """The virtual environment that a project's runtime options ask for."""

    def __init__(
        self,
        info: language_pb2.ProgramInfo,
        context: grpc.ServicerContext,
        *,
        must_exist: bool = True,
    ) -> None:
        options = MessageToDict(info.options)
        toolchain, chosen = options.get("toolchain", "pip"), options.get("virtualenv", "")
        if toolchain != "pip":
            _fail(context, f"the lab knows the toolchain 'pip' only, not {toolchain!r}")
        if not chosen:
            _fail(context, "the lab needs the option 'virtualenv' in Pulumi.yaml")
        self.folder = Path(info.root_directory, chosen)
        self.program = self.folder / "bin/python"
        if must_exist and not self.program.exists():
            _fail(
                context,
                f"The 'virtualenv' option in Pulumi.yaml is set to {chosen!r}, but "
                f"'{self.folder}' doesn't appear to be a virtual environment; "
                "`pulumi install` makes it.",
            )

    def variables(self) -> dict[str, str]:
        """Return the environment that activating the virtual environment would give."""
        ours = ("PYTHONHOME", "PYTHONPATH")  # with them, the launcher of this host finds the lab
        return {name: value for name, value in os.environ.items() if name not in ours} | {
            "VIRTUAL_ENV": str(self.folder),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Serves the language `python`, with the calls that `pulumi` makes for our programs."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._running: set[subprocess.Popen[bytes]] = set()

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        python = _Python(request.info, context)
        files = sorted(python.folder.glob("lib/python*/site-packages/*/pulumi-plugin.json"))
        packages = [
            plugin_pb2.PackageDependency(
                name=plugin["name"],
                kind="resource",
                version="v" + plugin["version"].removeprefix("v"),
                server=plugin.get("server", ""),
            )
            for plugin in (json.loads(file.read_text()) for file in files)
            if plugin.get("resource")
        ]
        return language_pb2.GetRequiredPackagesResponse(packages=packages)

    def Run(
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        python = _Python(request.info, context)
        arguments = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "parallel": request.parallel,
            "dry_run": str(request.dryRun).lower(),
        }
        # With -P, Python does not look for modules beside the script.
        command = [python.program, "-P", program("pulumi-language-python-exec")]
        command += [f"--{name}={value}" for name, value in arguments.items()]
        variables = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        # The program prints to the output of this host, which the engine shows to the user.
        process = subprocess.Popen(
            [*command, "--", request.info.entry_point, *request.args],
            cwd=request.pwd or None,
            env=python.variables() | variables,
            stdin=subprocess.DEVNULL,
        )
        self._running.add(process)
        context.add_callback(lambda: self._end(process))
        code = process.wait()
        if code == _ALREADY_SHOWN or process not in self._running:
            return language_pb2.RunResponse(bail=True)
        self._running.remove(process)
        error = f"program exited with non-zero exit code: {code}" if code else ""
        return language_pb2.RunResponse(error=error)

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a provider that is a folder with PulumiPlugin.yaml and __main__.py."""
        python = _Python(request.info, context)
        process = subprocess.Popen(
            [python.program, request.info.program_directory, *request.args],
            cwd=request.pwd or None,
            env=python.variables() | dict(entry.split("=", 1) for entry in request.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._running.add(process)
        context.add_callback(lambda: self._end(process))
        parts: _Parts = queue.SimpleQueue()
        with ThreadPoolExecutor(max_workers=2) as readers:
            for name in ("stdout", "stderr"):
                readers.submit(_read, getattr(process, name), name, parts)
            for _ in range(2):
                yield from iter(parts.get, None)
        self._running.discard(process)
        yield language_pb2.RunPluginResponse(exitcode=process.wait())

    def end(self) -> None:
        """End the programs that still run. The engine tells the user why."""
        for process in list(self._running):
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._running.discard(process)
        process.kill()

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        self.end()
        return Empty()

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        def say(text: str) -> language_pb2.InstallDependenciesResponse:
            return language_pb2.InstallDependenciesResponse(stdout=text.encode())

        python = _Python(request.info, context, must_exist=False)
        folder = Path(request.info.program_directory)
        steps: list[list[str]] = []
        if not python.program.exists():
            steps.append([sys.executable, "-m", "venv", str(python.folder)])
        if (folder / "requirements.txt").exists():
            steps.append([str(python.program), "-m", "pip", "install", "-r", "requirements.txt"])
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
                _fail(context, f"{' '.join(step)} failed with exit code {process.returncode}")
        yield say("Finished installing dependencies\n\n")


def _read(stream: IO[bytes], name: str, parts: _Parts) -> None:
    """Put what a plugin writes to one stream into ``parts`` at once, and None at its end."""
    while part := os.read(stream.fileno(), 65536):
        response = language_pb2.RunPluginResponse
        parts.put(response(stdout=part) if name == "stdout" else response(stderr=part))
    parts.put(None)


def _fail(context: grpc.ServicerContext, message: str) -> None:
    """End a call with one line for the user."""
    context.abort(grpc.StatusCode.UNKNOWN, message)


def main() -> None:
    """Serve until the engine interrupts this host, or is gone.

    The engine passes its address last and reads our port from the first line printed.
    """
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    interrupt_when_orphaned()
    host = LanguageHost(sys.argv[-1])
    server = grpc.server(ThreadPoolExecutor(), options=[("grpc.max_receive_message_length", -1)])
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    ended.wait()
    host.end()
    server.stop(grace=1).wait()
    os._exit(0)  # a normal exit waits for threads, and a thread may wait for a program


if __name__ == "__main__":
    main()
