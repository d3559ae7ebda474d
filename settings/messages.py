"""The lines that users read when settings are refused: ``mlflow:key: value; accepted: ...``."""

import difflib

from components._kubernetes.arguments import in_message
from settings.assembled import SETTINGS
from settings.values import Privacy


def shown(key: str, value: object, *, encrypted: bool) -> str:
    """Return a value for a message: shortened, and ``[secret]`` for a secret."""
    hidden = SETTINGS[key].kind.privacy in (Privacy.SECRET, Privacy.PARTLY_SECRET)
    return in_message(value, secret=encrypted or hidden)


def refused(key: str, text: str, accepted: str, *, encrypted: bool) -> str:
    """Return the line for a value that its setting does not take.

    Args:
        key: name of the setting.
        text: the value as the engine hands it over.
        accepted: which values the setting takes.
        encrypted: whether the user has encrypted the value.
    """
    mistakable = SETTINGS[key].kind.privacy is Privacy.MISTAKABLE
    return f"{key}: {shown(key, text, encrypted=encrypted or mistakable)}; accepted: {accepted}"


def unknown(key: str) -> str:
    """Return the line for a key that is no setting."""
    close = difflib.get_close_matches(key, SETTINGS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"accepted: {', '.join(SETTINGS)}"
    return f"{key if key.isprintable() else repr(key)}: no such setting; {hint}"
