"""Environment variables as lines that a shell may evaluate."""

import re
import shlex
from collections.abc import Mapping

from commands.support.console import CommandError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def exports(variables: Mapping[str, object]) -> str:
    """Return one `export` line a variable, quoted for any POSIX shell."""
    wrong = [name for name in variables if not _NAME.fullmatch(name)]
    if wrong:
        raise CommandError(f"not a name that a shell can export: {wrong[0]!r}")
    return "".join(
        f"export {name}={_quote(str(value))}\n" for name, value in sorted(variables.items())
    )


def _quote(value: str) -> str:
    # Always in quotes, also where shlex sees no need: one form to read and to search for.
    quoted = shlex.quote(value)
    return quoted if quoted.startswith("'") else f"'{value}'"
