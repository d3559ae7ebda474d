"""Starts a plugin as the engine does, with an engine that only takes notes; and makes projects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from harness.programs import CLONE


@dataclass
class NotingEngine(engine_pb2_grpc.EngineServicer):
    """Keeps what a plugin or a program tells the user."""

    messages: list[str] = field(default_factory=list)

    def Log(self, request: Any, _context: Any) -> Any:  # noqa: N802
        if request.severity > engine_pb2.DEBUG:
            self.messages.append(request.message)
        return Empty()

    def GetRootResource(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return engine_pb2.GetRootResourceResponse()

    def SetRootResource(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return engine_pb2.SetRootResourceResponse()


def struct(values: dict[str, Any]) -> Struct:
    """Return values as the protocol carries them."""
    made = Struct()
    made.update(values)
    return made


@contextmanager
def engine(*register: Any) -> Iterator[tuple[NotingEngine, str]]:
    """Serve a noting engine, and whatever else is registered, on loopback."""
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    noting = NotingEngine()
    engine_pb2_grpc.add_EngineServicer_to_server(noting, server)
    for add in register:
        add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield noting, f"127.0.0.1:{port}"
    finally:
        server.stop(0)


@contextmanager
def plugin(name: str, stub: Any, address: str = "127.0.0.1:1") -> Iterator[Any]:
    """Start a plugin, and end it as the engine does; it must be quiet about that."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", f"lab.plugins.{name}", address],
        env=os.environ | {"PYTHONPATH": str(CLONE)},  # as the lab's launchers do
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}") as channel:
            yield stub(channel)
    finally:
        process.send_signal(2)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def project(folder: Path, name: str, program: str) -> dict[str, str]:
    """Make a Pulumi project, and return the environment in which `pulumi` keeps its state there."""
    options = {"toolchain": "pip", "virtualenv": sys.prefix}
    described = {"name": name, "runtime": {"name": "python", "options": options}}
    (folder / "Pulumi.yaml").write_text(json.dumps(described))
    (folder / "__main__.py").write_text(program)
    state = folder / "state"
    state.mkdir()
    return os.environ | {
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
