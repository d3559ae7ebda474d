"""The random provider: RandomPassword, the one kind that the program uses.

Follows pulumi-random 4.21 (a bridge to hashicorp/random): its defaults, its secrets, that every
changed input replaces, and that `pulumi import` takes the value itself.
"""

from __future__ import annotations

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

_KIND = "RandomPassword"
_SYMBOLS = "!@#$%&*()-_=+[]{}<>:?"
_INPUTS: dict[str, type] = {"length": int, "keepers": dict, "overrideSpecial": str} | {
    name: kind
    for group in ("lower", "upper", "numeric", "special")
    for name, kind in ((group, bool), (f"min{group.title()}", int))
}
_INPUTS["number"] = bool  # the deprecated name of `numeric`


def _settings(inputs: Properties) -> Properties:
    """Return the inputs with the defaults that the official provider fills in."""
    digits = next((inputs[k] for k in ("numeric", "number") if inputs.get(k) is not None), True)
    given = {key: value for key, value in inputs.items() if value is not None}
    defaults = {"lower": True, "upper": True, "special": True} | {
        f"min{group}": 0 for group in ("Lower", "Upper", "Numeric", "Special")
    }
    return defaults | given | {"numeric": digits, "number": digits}


def _mistakes(inputs: Properties) -> dict[str, str]:
    """Return what is wrong with the inputs, by input."""
    mistakes = {}
    for name, value in inputs.items():
        expected = _INPUTS.get(name)
        if expected is None:
            mistakes[name] = f"{_KIND} has no such input"
        elif not has_unknown(value) and value is not None and not isinstance(value, expected):
            mistakes[name] = f"expected a value of type {expected.__name__}, got {value!r}"
    if mistakes or has_unknown(inputs):
        return mistakes
    if inputs.get("length") is None:
        return {"length": "this input is required"}
    least = sum(inputs.get(f"min{g}") or 0 for g in ("Lower", "Upper", "Numeric", "Special"))
    if inputs["length"] < max(1, least):
        return {"length": f"expected at least {max(1, least)}, got {inputs['length']}"}
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


def _outputs(settings: Properties, value: str) -> Properties:
    return settings | {"result": Secret(value), "bcryptHash": Secret(_bcrypt(value))}


def _check_kind(request: Any) -> None:
    kind = request.type.rpartition(":")[2]
    if kind != _KIND:
        raise Failure(f"the lab's random provider has {_KIND}, not {kind}")


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
        _check_kind(request)
        mistakes = _mistakes(reveal(decode(request.news)))
        return provider_pb2.CheckResponse(
            inputs=request.news,
            failures=[
                provider_pb2.CheckFailure(property=name, reason=reason)
                for name, reason in mistakes.items()
            ],
        )

    @rpc
    def Diff(self, request: Any, _context: Any) -> Any:
        old = _settings(reveal(decode(request.olds)))
        new = _settings(reveal(decode(request.news)))
        changed = [name for name in _INPUTS if old.get(name) != new.get(name)]
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
        settings = _settings(decode(request.properties))
        if request.preview:
            unknown = Secret(UNKNOWN)
            guess = settings | {"result": unknown, "bcryptHash": unknown}
            return provider_pb2.CreateResponse(properties=encode(guess))
        outputs = _outputs(settings, _text(reveal(settings)))
        return provider_pb2.CreateResponse(id="none", properties=encode(outputs))

    @rpc
    def Read(self, request: Any, _context: Any) -> Any:
        if request.properties.fields:
            return provider_pb2.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )
        _check_kind(request)
        inputs = _settings({"length": len(request.id)})
        outputs = _outputs(inputs, request.id)
        return provider_pb2.ReadResponse(
            id="none", properties=encode(outputs), inputs=encode(inputs)
        )

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
