"""What our two plugins share: serving the Pulumi engine, and its property values."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct, Value

# Signatures of special values, from the SDK's sdk/go/common/resource/sig and plugin/rpc.go.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a type marker, not a credential)
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Properties = dict[str, Any]


class Unknown:
    """A value that only the real operation will tell."""

    def __repr__(self) -> str:
        return "<unknown>"

    def __deepcopy__(self, _memo: object) -> Unknown:
        return self


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in its state and hides in its output."""

    value: Any


def decode(struct: Struct) -> Properties:
    """Turn the engine's property map into plain Python, with `Secret` and `UNKNOWN` marked."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        plain = decode(value.struct_value)
        return Secret(plain["value"]) if plain.get(_SIGNATURE) == _SECRET else plain
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return UNKNOWN if value.string_value == _UNKNOWN else value.string_value
    return value.bool_value if kind == "bool_value" else None


def encode(properties: Properties) -> Struct:
    """Turn plain Python into the engine's property map."""
    struct = Struct()
    struct.update(_encode(properties))
    return struct


def _encode(value: Any) -> Any:
    if isinstance(value, Secret):
        return {_SIGNATURE: _SECRET, "value": _encode(value.value)}
    if value is UNKNOWN:
        return _UNKNOWN
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    return [_encode(item) for item in value] if isinstance(value, list) else value


def reveal(value: Any) -> Any:
    """Copy a value without its secret marks."""
    if isinstance(value, Secret):
        return reveal(value.value)
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    return [reveal(item) for item in value] if isinstance(value, list) else value


def has_unknown(value: Any) -> bool:
    """Say whether a value, or anything inside it, is unknown."""
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, dict | list):
        return any(map(has_unknown, value.values() if isinstance(value, dict) else value))
    return value is UNKNOWN


class Failure(Exception):  # noqa: N818 (the user reads the message, not the class)
    """One clear error for the user."""


def rpc(method: Callable[..., Any]) -> Callable[..., Any]:
    """Answer a `Failure` raised by a plugin's method the way the engine understands."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Failure as failure:
            context.abort(grpc.StatusCode.UNKNOWN, str(failure))

    return answer


def serve(register: Callable[[grpc.Server, str], Callable[[], None]]) -> None:
    """Serve until the engine interrupts us, or is gone.

    `register` takes the server and the engine's address, adds its service to the server and returns
    what to do before the end. The engine passes its address last and reads our port from the first
    line we print (plugin.go, newPlugin).
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    server = grpc.server(
        ThreadPoolExecutor(max_workers=16),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    stop = register(server, sys.argv[-1])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while not ended.wait(1) and os.getppid() == parent:  # a killed engine interrupts nobody
        pass
    stop()
    server.stop(grace=1).wait()
    os._exit(0)  # threads that still wait for a program would hold a normal exit back
