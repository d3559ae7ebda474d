"""HEAD and OPTIONS, for which MLflow has no rights: it refuses them to everybody but an admin.

HEAD is GET (RFC 9110, 9.3.2) for all that comes after corrected.py; the server sends no content for
it. OPTIONS is answered from the routes (patches/bridge.py).
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
