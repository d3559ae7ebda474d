"""HEAD and OPTIONS, for which MLflow has no permissions: it refuses both to all but admins.

HEAD is handled as GET (RFC 9110, 9.3.2) by everything behind corrected.py, and uvicorn sends no
content for HEAD. OPTIONS is answered from the routes (patches/bridge.py).
"""

from starlette.types import Scope

_HEAD = "mlflow_kubernetes.head"


def as_get(scope: Scope) -> Scope:
    """Return a request with GET in HEAD's place."""
    return {**scope, "method": "GET", _HEAD: True} if scope["method"] == "HEAD" else scope


def is_head(scope: Scope) -> bool:
    """Say whether a request wants the headers of GET alone."""
    return bool(scope.get(_HEAD))


def is_options(scope: Scope) -> bool:
    """Say whether a request asks what a path allows; not whether a page of another host may."""
    return scope["method"] == "OPTIONS" and b"access-control-request-method" not in dict(
        scope["headers"]
    )
