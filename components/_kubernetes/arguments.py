"""Inputs of components: checks at run time, the form that Pulumi keeps, and changed copies."""

import copy
import difflib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import pulumi

from .._kubernetes.grammars import Refused

T = TypeVar("T")
U = TypeVar("U")


def known_keys(component: str, args: Mapping[str, object], declared: type) -> None:
    """Refuse an input that ``declared`` (a TypedDict) does not have, or lacks and requires.

    Raises:
        pulumi.RunError: naming the component, the input, and what is accepted.
    """
    accepted = sorted(declared.__annotations__)
    for key in args:
        if key not in accepted:
            close = difflib.get_close_matches(key, accepted, n=1)
            hint = f"did you mean {close[0]}?" if close else f"accepted: {', '.join(accepted)}"
            raise pulumi.RunError(f"{component}.{key}: no such input; {hint}")
    required: frozenset[str] = getattr(declared, "__required_keys__", frozenset())
    for key in sorted(required - set(args)):
        raise pulumi.RunError(f"{component}.{key}: required, and not given")


def checked(
    where: str, text: str, grammar: Callable[[str], T], accepted: str, *, secret: bool = False
) -> T:
    """Return what a grammar makes of the text of an input.

    Args:
        where: the input, as ``<component>.<input>``.
        text: the text.
        grammar: raises ``ValueError`` if it does not accept the text.
        accepted: the accepted texts in words, unless the grammar raises ``Refused`` with others.
        secret: whether the text must not be in the message.

    Raises:
        pulumi.RunError: if the grammar does not accept the text.
    """
    try:
        return grammar(text)
    except ValueError as error:
        words = str(error) if isinstance(error, Refused) else accepted
        shown = in_message(text, secret=secret)
        raise pulumi.RunError(f"{where}: {shown}; accepted: {words}") from None


MOST_ROTATIONS = 999
"""Each rotation adds a password to the state."""


def rotations(where: str, number: object) -> int:
    """Return how many times a password was rotated, by an input.

    Raises:
        pulumi.RunError: if it is no number from 0 to ``MOST_ROTATIONS``.
    """
    # The engine gives a program of another language its whole numbers as floats.
    if not isinstance(number, (int, float)) or number not in range(MOST_ROTATIONS + 1):
        accepted = f"a whole number from 0 to {MOST_ROTATIONS}"
        raise pulumi.RunError(f"{where}: {in_message(number, secret=False)}; accepted: {accepted}")
    return int(number)


def in_message(value: object, *, secret: bool) -> str:
    """Return a value for a message: shortened, and ``[secret]`` for a secret."""
    text = str(value)
    # An address with a user name in it has a password as well.
    if secret or "PRIVATE KEY" in text or re.search("://.*@", text):
        return "[secret]"
    return repr(value if len(text) <= 100 else f"{text[:100]}...")


def recorded(args: Mapping[str, object], *secrets: str) -> dict[str, object]:
    """Return the inputs as Pulumi keeps them in its state, with the inputs ``secrets`` encrypted.

    Pulumi keeps an input that is given as plain text in clear.
    """
    return {
        key: pulumi.Output.secret(value) if key in secrets and value is not None else value
        for key, value in args.items()
    }


def changed(one: T, **changes: object) -> T:
    """Return a copy of an object, such as a container, with each change that is not None."""
    result = copy.copy(one)
    for name, value in changes.items():
        if value is not None:
            setattr(result, name, value)
    return result


def applied(value: pulumi.Input[T], function: Callable[[T], U]) -> pulumi.Input[U]:
    """Return ``function(value)``: at once for a plain value, so that an error comes at once."""
    if isinstance(value, (pulumi.Output, Awaitable)):
        given = cast("pulumi.Input[Any]", value)
        return pulumi.Output.all(given).apply(lambda known: function(known[0]))
    return function(value)
