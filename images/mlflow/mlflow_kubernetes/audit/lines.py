"""A line of the audit log, which is written at once."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MOST = 4095
"""The longest line, in bytes. Linux writes up to 4096 bytes (PIPE_BUF) to a pipe in one piece, so
that lines of several workers do not mix."""
# Letters that a text may have. A shorter limit is taken only where a line is too long.
_LIMITS = (200, 60, 20)
_OUTPUT = 1


def line(
    *,
    event: str,
    user: str | None,
    source: str | None,
    method: str,
    route: str | None,
    named: Mapping[str, Any],
    status: int | None,
    milliseconds: float | None,
) -> bytes:
    """Return a line that says who did what.

    Args:
        event: What was done, such as ``runs/create``.
        user: The user who was let in, or None.
        source: The client's address, or None.
        method: The HTTP method; for a command in the pod, ``EXEC``.
        route: The path of the route, without values of its parameters.
        named: Ids and names of the object.
        status: The status of the answer, or None where there was none; a command's exit code.
        milliseconds: How long it took, or None for a command.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    for limit in _LIMITS:
        told = _encoded(
            {
                "log": "audit",
                "time": now.replace("+00:00", "Z"),
                "event": event,
                "user": _short(user, limit),
                "source": _short(source, limit),
                "method": _short(method, limit),
                "route": route,
                "object": {key: _short(value, limit) for key, value in named.items()},
                "status": status,
                "ms": None if milliseconds is None else round(milliseconds, 1),
            }
        )
        if len(told) <= MOST:
            return told
    return line(
        event=event,
        user=_short(user, _LIMITS[-1]),
        source=_short(source, _LIMITS[-1]),
        method=_short(method, _LIMITS[-1]),
        route=route,
        named={"cut": True},
        status=status,
        milliseconds=milliseconds,
    )


def write(told: bytes, descriptor: int = _OUTPUT) -> None:
    """Write a line in one piece."""
    os.write(descriptor, told)


def _encoded(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _short(value: Any, limit: int) -> Any:
    if isinstance(value, list):
        return [_short(one, limit) for one in value]
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]}..."
    # Of a number, a body may hold thousands of digits.
    return value if not isinstance(value, int) or abs(value) < 10**18 else "..."
