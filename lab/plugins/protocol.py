"""Pulumi's protocol, from the SDK, without the SDK: importing that costs a plugin's start 0.2 s."""

import importlib.util
import sys
import types
from pathlib import Path

if Path(sys.argv[0]).is_relative_to(Path(__file__).parent):  # only where a plugin is the program
    spec = importlib.util.find_spec("pulumi")
    if spec and spec.submodule_search_locations:
        location = spec.submodule_search_locations[0]
        for name, path in (("pulumi", location), ("pulumi.runtime", f"{location}/runtime")):
            package = types.ModuleType(name)
            package.__path__ = [path]
            sys.modules[name] = package

from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

__all__ = [
    "engine_pb2",
    "engine_pb2_grpc",
    "language_pb2",
    "language_pb2_grpc",
    "plugin_pb2",
    "provider_pb2",
    "provider_pb2_grpc",
]
