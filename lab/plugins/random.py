"""The random provider: RandomPassword with the inputs that the program sets.

Follows pulumi-random 4.21 (a bridge to hashicorp/random). The state has the same defaults, the
password is a secret, and every changed input replaces the password.
"""

import os
import secrets
import signal
import string
import sys
from importlib.metadata import version
from typing import NoReturn

from pulumi.provider.experimental import provider
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import main
from pulumi.runtime.rpc import UNKNOWN

from lab.plugins import interrupt_when_orphaned

_KIND = "RandomPassword"
_INPUTS = {"length": float, "special": bool}
_SYMBOLS = "!@#$%&*()-_=+[]{}<>:?"
# What the official provider fills in. `number` is the deprecated name of `numeric`.
_DEFAULTS = {
    **dict.fromkeys(("lower", "upper", "numeric", "number", "special"), PropertyValue(True)),
    **dict.fromkeys(("minLower", "minUpper", "minNumeric", "minSpecial"), PropertyValue(0.0)),
}


class RandomProvider(provider.Provider):
    """Makes passwords."""

    async def configure(self, request: provider.ConfigureRequest) -> provider.ConfigureResponse:
        return provider.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: provider.CheckRequest) -> provider.CheckResponse:
        mistakes = _mistakes(request.type, request.new_inputs)
        failures = [provider.CheckFailure(name, reason) for name, reason in mistakes.items()]
        return provider.CheckResponse(request.new_inputs, failures)

    async def diff(self, request: provider.DiffRequest) -> provider.DiffResponse:
        old, new = _DEFAULTS | request.old_state, _DEFAULTS | request.new_inputs
        changed = [name for name in _INPUTS if old[name].value != new[name].value]
        replaced = provider.PropertyDiff(provider.PropertyDiffKind.UPDATE_REPLACE, input_diff=True)
        return provider.DiffResponse(
            changes=bool(changed),
            replaces=changed,
            diffs=changed,
            detailed_diff=dict.fromkeys(changed, replaced),
        )

    async def create(self, request: provider.CreateRequest) -> provider.CreateResponse:
        state = _DEFAULTS | request.properties
        id, result = ("", UNKNOWN) if request.preview else ("none", _password(state))
        state["result"] = PropertyValue(result, is_secret=True)
        return provider.CreateResponse(id, state)

    async def delete(self, request: provider.DeleteRequest) -> None:
        """Do nothing: the password is in the state alone."""


def _mistakes(kind: str, inputs: dict[str, PropertyValue]) -> dict[str, str]:
    """Return what is wrong with the inputs, by input."""
    if not kind.endswith(f":{_KIND}"):
        return {"": f"the lab's random provider has {_KIND}, not {kind.rpartition(':')[2]}"}
    if "length" not in inputs:
        return {"length": "this input is required"}
    mistakes: dict[str, str] = {}
    for name, given in inputs.items():
        expected = _INPUTS.get(name)
        if expected is None:
            mistakes[name] = f"the lab's {_KIND} has no such input"
        elif given.value == UNKNOWN:
            continue
        elif not isinstance(given.value, expected):
            mistakes[name] = f"expected a value of type {expected.__name__}, got {given.value!r}"
        elif name == "length" and given.value < 1:
            mistakes[name] = f"expected at least 1, got {given.value:g}"
    return mistakes


def _password(state: dict[str, PropertyValue]) -> str:
    symbols = _SYMBOLS if state["special"].value else ""
    letters = string.ascii_letters + string.digits + symbols
    length = state["length"].value
    if not isinstance(length, float):
        raise TypeError(f"length: expected a number, got {length!r}")
    return "".join(secrets.choice(letters) for _ in range(int(length)))


def _end(*_: object) -> NoReturn:
    os._exit(0)


if __name__ == "__main__":
    # When the SDK is interrupted, it prints a traceback of its server.
    signal.signal(signal.SIGINT, _end)
    interrupt_when_orphaned()
    main(sys.argv[1:], version("pulumi-random"), RandomProvider())
