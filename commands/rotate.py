"""Replace generated passwords and keys by new ones: `make rotate WHAT=all`."""

import json
import os
from collections.abc import Sequence

from commands import up
from commands.support import stack
from commands.support.console import CommandError, capture, last_line, main, say
from settings.assembled import Settings
from settings.values import ROTATED, Rotated

_ALL = "all"
_KEYS = ("rotation", "backendStore", "artifactStore", "auth")
NEXT: dict[Rotated, str] = {
    "database": "what you run with a login of your own in the database: nothing to do",
    "store": 'programs with direct access to the bucket: eval "$(make -s client-env)" again',
    "storeRoot": "the console of MinIO asks for the new root password (Secret minio-root)",
    "admin": 'clients that are the admin: eval "$(make -s client-env)" again',
    "page": "a form that was open in a browser meanwhile: load the page again",
    "kek": "keys of model providers: nothing to do; they are encrypted anew",
    "webhook": "secrets of webhooks: nothing to do; they are encrypted anew",
}
"""What users have to do after each rotation."""


def command() -> None:
    """Raise the numbers in `mlflow:rotation` of the stack's file, and run `make up`.

    Reads `WHAT` from the environment.

    Raises:
        CommandError: if a name is refused, there is no stack, or `make up` fails.
    """
    given = os.environ.get("WHAT", "")
    wanted(given, None)
    chosen = stack.running()
    settings = stack.some_settings(chosen.name, *_KEYS)
    names = wanted(given, settings)
    numbers = {name: settings.rotation.get(name, 0) + 1 for name in names}
    # The rules between settings refuse what this stack cannot rotate, before the file changes.
    rotation = {**settings.rotation, **numbers}
    stack.settings(chosen.name, rotation=rotation)
    project = stack.project()
    value = [f"{project}:rotation", json.dumps(rotation, sort_keys=True)]
    config = ["pulumi", "config", "set", "--stack", chosen.name, *value]
    answer = capture(config, chosen.environment)
    if answer.returncode:
        raise CommandError(f"{project}:rotation cannot be set: {last_line(answer)}")
    said = ", ".join(f"{name} {number}" for name, number in numbers.items())
    say(
        f"Pulumi.{chosen.name}.yaml has {project}:rotation with {said} now. New passwords are "
        "made, servers are replaced one by one, and the former passwords end a minute after that; "
        "if this is interrupted, `make up` goes on"
    )
    up.command()
    for line in _next(settings, names):
        say(line)


def wanted(given: str, settings: Settings | None) -> list[Rotated]:
    """Return the names of what is to be rotated, each once.

    Args:
        given: names with commas between them, or `all`.
        settings: the settings that decide what `all` means; None to check the names alone.

    Raises:
        CommandError: if there is no name, or an unknown one.
    """
    asked = [name for name in given.replace(" ", "").split(",") if name]
    unknown = [name for name in asked if name not in (_ALL, *ROTATED)]
    if unknown or not asked:
        shown = unknown[0] if unknown else given
        accepted = f"{_ALL}, or names with commas between them: {', '.join(ROTATED)}"
        raise CommandError(f"WHAT={shown}: accepted: {accepted}")
    return [
        name
        for name in ROTATED
        if name in asked or (_ALL in asked and (settings is None or _usual(name, settings)))
    ]


def _usual(name: Rotated, settings: Settings) -> bool:
    """Return whether `all` includes a name: what this stack generates, and replaces without a gap.

    The rules between settings (settings/rules.py) refuse the same names.
    """
    match name:
        case "database":
            return settings.backend_store == "postgres"
        case "store":
            return name in settings.store.rotations
        case "admin":
            return settings.auth == "basic"
        case "storeRoot":
            return False
        case _:
            return True


def _restarts(settings: Settings) -> dict[Rotated, str]:
    """Return what is rotated only if it is named, each with the program that restarts for it.

    The program has one pod, which reads the password when it starts.
    """
    programs: dict[Rotated, tuple[bool, str]] = {
        "database": (settings.backend_store == "mysql", "MySQL"),
        "storeRoot": ("storeRoot" in settings.store.rotations, "MinIO"),
    }
    return {name: program for name, (has_it, program) in programs.items() if has_it}


def _next(settings: Settings, rotated: Sequence[Rotated]) -> list[str]:
    """Return what users do next, and what was left as it was."""
    lines = [f"rotated {name}: {NEXT[name]}" for name in rotated]
    lines += [
        f"not rotated: {name}, for which {program} restarts (WHAT={name})"
        for name, program in _restarts(settings).items()
        if name not in rotated
    ]
    return lines


if __name__ == "__main__":
    main(command)
