"""What the program would refuse in settings, told before a cluster and images are made."""

import json
from typing import Any

import pulumi
import pulumi.runtime
from pulumi.runtime.settings import Settings as Runtime
from pulumi.runtime.settings import configure

from commands.support import stack
from commands.support.console import CommandError
from settings import Settings


def refuse(name: str) -> None:
    """Check the settings of a stack as the program will.

    On a fresh machine it would be minutes until the program could. It remains the judge: what is
    encrypted only the engine can read, and such a stack is left to it.

    Raises:
        CommandError: with one line for each mistake.
    """
    project = stack.project()
    given = {key: _text(value) for key, value in stack.settings(name).items() if ":" not in key}
    known = {f"{project}:{key}": text for key, text in given.items() if text is not None}
    if len(known) < len(given):
        return
    configure(Runtime(project=project, stack=name))
    pulumi.runtime.set_all_config(known)
    try:
        Settings.load()
    except pulumi.RunError as mistakes:
        raise CommandError(str(mistakes)) from None


def _text(value: Any) -> str | None:
    """Return a value as the engine hands it to the program; nothing where only it knows."""
    if isinstance(value, dict) and "secure" in value:
        return None
    if isinstance(value, bool | list | dict):
        return json.dumps(value)
    return str(value) if isinstance(value, str | int) else None
