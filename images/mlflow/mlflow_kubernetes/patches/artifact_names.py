"""Names of artifacts are kept as they are, or refused with the reason.

MLflow's server decodes a path until nothing is left to decode, so that it stores `a%41` as `aA`.
MLflow's Python client decodes the names in a listing in the same way, and sends names in a URL
without quoting: the server gets the text behind a `?` as a query, and does not get the text behind
a `#`.
"""

import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from mlflow.exceptions import MlflowException
from mlflow.server import artifact_router, handlers
from mlflow.utils.mime_type_utils import _guess_mime_type, get_text_extensions
from mlflow.version import VERSION
from starlette.types import Scope

from mlflow_kubernetes.artifacts.paths import refused, storable

_PROXY = b"api/2.0/mlflow-artifacts/artifacts/"
_UNKNOWN = "application/octet-stream"

_validate: Any = handlers.validate_path_is_safe


def install() -> None:
    """Take the place of MLflow's check, in all that serves artifacts."""
    for module in (handlers, artifact_router):
        module.validate_path_is_safe = checked  # type: ignore[attr-defined]


def whole(scope: Scope) -> Scope:
    """Return a request with the path that was meant, or refuse one that cannot be read as text."""
    raw, query = scope["raw_path"], scope["query_string"]
    try:
        for part in (raw, query):
            unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise refused("a name that is not UTF-8") from None
    if _PROXY not in raw:
        return scope
    if re.search(rb"%2f", raw.partition(_PROXY)[2], re.IGNORECASE):
        raise refused("a '/' in a name, as %2F: it separates folders")
    if query:  # These paths take none: it is the rest of a name that a client did not quote.
        path = f"{scope['path']}?{unquote(query.decode())}"
        scope = {**scope, "path": path, "raw_path": raw + b"%3F" + query, "query_string": b""}
    if scope["method"] == "PUT":  # MLflow's permissions would refuse some without a reason
        storable(scope["path"].partition(_PROXY.decode())[2])
    return scope


def checked(path: str) -> str:
    """Return the path of an artifact as it is, or refuse one that leads out of its folder.

    Takes the place of MLflow's ``validate_path_is_safe``, which returns another path.
    """
    try:
        _validate(path.replace("#", ""))
    except (MlflowException, ValueError):
        raise refused(f"{path!r} leads out of its folder") from None
    return path


def refuse_a_part(path: str, headers: Mapping[str, str]) -> None:
    """Refuse what is left of a name that MLflow's client has cut at a '#'.

    The client says the type of the file, which it guesses by the whole name. Only of a client of
    the server's own release is it known how.
    """
    if headers.get("user-agent") != f"mlflow-python-client/{VERSION}":
        return
    name = posixpath.basename(path)
    told, own = headers.get("content-type"), _guess_mime_type(name)
    end = name.rpartition(".")[2]
    lost_its_end = own == _UNKNOWN and told != _UNKNOWN and "." not in name
    if lost_its_end or (told == _UNKNOWN and end in get_text_extensions()):
        raise refused(
            f"{name!r} seems to be the begin of a name with a '#', at which MLflow's client cuts "
            f"names: it is sent as {told}"
        )
