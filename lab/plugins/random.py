"""The random provider: RandomPassword, RandomString, RandomId and RandomBytes.

Follows pulumi-random 4.21 (a bridge to hashicorp/random): defaults, what is secret, every changed
input replaces, and `pulumi import` takes the value itself.
"""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import secrets
import string
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from lab.plugins.protocol import plugin_pb2, provider_pb2, provider_pb2_grpc
from lab.plugins.wire import (
    UNKNOWN,
    Failure,
    Properties,
    Secret,
    decode,
    encode,
    has_unknown,
    reveal,
    rpc,
    serve,
)

_SYMBOLS = "!@#$%&*()-_=+[]{}<>:?"
_TEXT = {"length": int, "keepers": dict, "overrideSpecial": str} | {
    name: kind
    for group in ("lower", "upper", "numeric", "special")
    for name, kind in ((group, bool), (f"min{group.title()}", int))
}
_TEXT["number"] = bool  # the deprecated name of `numeric`
_INPUTS: dict[str, dict[str, type]] = {
    "RandomPassword": _TEXT,
    "RandomString": _TEXT,
    "RandomId": {"byteLength": int, "keepers": dict, "prefix": str},
    "RandomBytes": {"length": int, "keepers": dict},
}
_RESULTS = {
    "RandomPassword": ("result", "bcryptHash"),
    "RandomString": ("result",),
    "RandomId": ("b64Std", "b64Url", "dec", "hex"),
    "RandomBytes": ("base64", "hex"),
}
_SECRET_KINDS = {"RandomPassword", "RandomBytes"}


def _settings(kind: str, inputs: Properties) -> Properties:
    """Return the inputs with the defaults that the official provider fills in."""
    if _INPUTS[kind] is not _TEXT:
        return inputs
    digits = next((inputs[k] for k in ("numeric", "number") if inputs.get(k) is not None), True)
    given = {key: value for key, value in inputs.items() if value is not None}
    defaults = {"lower": True, "upper": True, "special": True} | {
        f"min{group}": 0 for group in ("Lower", "Upper", "Numeric", "Special")
    }
    return defaults | given | {"numeric": digits, "number": digits}


def _mistakes(kind: str, inputs: Properties) -> dict[str, str]:
    """Return what is wrong with the inputs, by input."""
    size = "byteLength" if kind == "RandomId" else "length"
    mistakes = {}
    for name, value in inputs.items():
        expected = _INPUTS[kind].get(name)
        if expected is None:
            mistakes[name] = f"{kind} has no such input"
        elif not has_unknown(value) and value is not None and not isinstance(value, expected):
            mistakes[name] = f"expected a value of type {expected.__name__}, got {value!r}"
    if mistakes or has_unknown(inputs):
        return mistakes
    if inputs.get(size) is None:
        return {size: "this input is required"}
    least = sum(inputs.get(f"min{g}") or 0 for g in ("Lower", "Upper", "Numeric", "Special"))
    if inputs[size] < max(1, least):
        return {size: f"expected at least {max(1, least)}, got {inputs[size]}"}
    return {}


def _text(settings: Properties) -> str:
    """Make a random text as the settings ask."""
    symbols = settings.get("overrideSpecial") or _SYMBOLS
    groups = {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": symbols,
    }
    allowed = "".join(letters for group, letters in groups.items() if settings[group])
    if not allowed:
        raise Failure("at least one of lower, upper, numeric and special must be true")
    picked = [
        secrets.choice(letters)
        for group, letters in groups.items()
        for _ in range(settings[f"min{group.title()}"])
    ]
    picked += [secrets.choice(allowed) for _ in range(settings["length"] - len(picked))]
    secrets.SystemRandom().shuffle(picked)
    return "".join(picked)


def _bcrypt(text: str) -> str:
    """Hash a password with the C library: Python has no bcrypt, and 3.13 dropped `crypt`."""
    alphabet = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits
    salt = "$2b$10$" + "".join(secrets.choice(alphabet) for _ in range(21)) + "."
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt_ra.restype = ctypes.c_char_p
    data, size = ctypes.c_void_p(), ctypes.c_int()
    hashed = library.crypt_ra(
        text.encode()[:72], salt.encode(), ctypes.byref(data), ctypes.byref(size)
    )
    return (hashed or b"").decode()


def _outputs(kind: str, settings: Properties, value: str | bytes) -> tuple[str, Properties]:
    """Return the id and the outputs for a random value."""
    if isinstance(value, str):
        results = {"result": value}
        if kind == "RandomPassword":
            results["bcryptHash"] = _bcrypt(value)
        id = "none" if kind == "RandomPassword" else value
    elif kind == "RandomBytes":
        results = {"base64": base64.b64encode(value).decode(), "hex": value.hex()}
        id = results["base64"]  # in clear, as the official provider does: prefer RandomPassword
    else:
        prefix = reveal(settings.get("prefix")) or ""
        id = base64.urlsafe_b64encode(value).decode().rstrip("=")
        results = {
            "b64Std": prefix + base64.b64encode(value).decode(),
            "b64Url": prefix + id,
            "dec": prefix + str(int.from_bytes(value)),
            "hex": prefix + value.hex(),
        }
    if kind in _SECRET_KINDS:
        return id, settings | {name: Secret(text) for name, text in results.items()}
    return id, settings | results


def _imported(kind: str, id: str) -> tuple[str, Properties]:
    """Return the id and outputs of a value that the user brings."""
    try:
        if kind == "RandomId":
            prefix, _, encoded = id.rpartition(",")
            value = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            settings: Properties = {"byteLength": len(value)} | (
                {"prefix": prefix} if prefix else {}
            )
            return _outputs(kind, settings, value)
        if kind == "RandomBytes":
            value = base64.b64decode(id, validate=True)
            return _outputs(kind, {"length": len(value)}, value)
    except ValueError as error:
        raise Failure(f"cannot import {kind}: expected base64, got {id!r} ({error})") from None
    return _outputs(kind, _settings(kind, {"length": len(id)}), id)


def _kind(request: Any) -> str:
    kind: str = request.type.rpartition(":")[2]
    if kind not in _INPUTS:
        raise Failure(f"the lab's random provider has {', '.join(_INPUTS)}, not {kind}")
    return kind


class RandomProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves the random package."""

    def Handshake(self, _request: Any, _context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, _request: Any, _context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=version("pulumi-random"))

    def CheckConfig(self, request: Any, _context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, _request: Any, _context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, _request: Any, _context: Any) -> Any:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @rpc
    def Check(self, request: Any, _context: Any) -> Any:
        mistakes = _mistakes(_kind(request), reveal(decode(request.news)))
        return provider_pb2.CheckResponse(
            inputs=request.news,
            failures=[
                provider_pb2.CheckFailure(property=name, reason=reason)
                for name, reason in mistakes.items()
            ],
        )

    @rpc
    def Diff(self, request: Any, _context: Any) -> Any:
        kind = _kind(request)
        old = _settings(kind, reveal(decode(request.olds)))
        new = _settings(kind, reveal(decode(request.news)))
        changed = [name for name in _INPUTS[kind] if old.get(name) != new.get(name)]
        replaced = provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.UPDATE_REPLACE)
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=changed,
            replaces=changed,
            detailedDiff=dict.fromkeys(changed, replaced),
            hasDetailedDiff=True,
        )

    @rpc
    def Create(self, request: Any, _context: Any) -> Any:
        kind = _kind(request)
        settings = _settings(kind, decode(request.properties))
        if request.preview:
            unknown = Secret(UNKNOWN) if kind in _SECRET_KINDS else UNKNOWN
            return provider_pb2.CreateResponse(
                properties=encode(settings | dict.fromkeys(_RESULTS[kind], unknown))
            )
        plain = reveal(settings)
        make: Callable[[], str | bytes] = {
            "RandomId": lambda: secrets.token_bytes(plain["byteLength"]),
            "RandomBytes": lambda: secrets.token_bytes(plain["length"]),
        }.get(kind, lambda: _text(plain))
        id, outputs = _outputs(kind, settings, make())
        return provider_pb2.CreateResponse(id=id, properties=encode(outputs))

    @rpc
    def Read(self, request: Any, _context: Any) -> Any:
        if request.properties.fields:
            return provider_pb2.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )
        kind = _kind(request)
        id, outputs = _imported(kind, request.id)
        inputs = {name: value for name, value in outputs.items() if name in _INPUTS[kind]}
        return provider_pb2.ReadResponse(id=id, properties=encode(outputs), inputs=encode(inputs))

    def Update(self, request: Any, _context: Any) -> Any:
        return provider_pb2.UpdateResponse(properties=request.olds)  # every change replaces

    def Delete(self, _request: Any, _context: Any) -> Any:
        return Empty()

    def Cancel(self, _request: Any, _context: Any) -> Any:
        return Empty()


def _register(server: grpc.Server, _engine: str) -> Callable[[], None]:
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(RandomProvider(), server)
    return lambda: None


if __name__ == "__main__":
    serve(_register)
