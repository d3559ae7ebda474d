"""The routes of MLflow's application, and which of them a request is for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount, compile_path
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from mlflow_kubernetes.audit import objects, reading

# First words of a path's last part that say what is done. Without one, the method says it.
_VERBS = frozenset(
    {
        *("abort", "add", "assign", "attach", "cancel", "complete", "create", "delete", "detach"),
        *("generate", "get", "grant", "install", "invoke", "link", "log", "register", "remove"),
        *("rename", "restore", "revoke", "set", "test", "transition", "unassign", "update"),
        "upload",
    }
)
_OF_METHODS = {"POST": "create", "PUT": "put", "PATCH": "update", "DELETE": "delete"}
# Flask writes `<path:name>`, Starlette `{name:path}`.
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\{(\w+)(?::\w+)?\}")
_VERSION = re.compile(r"^\d\.\d/?(?:mlflow/)?")


class Route(NamedTuple):
    """A route under one method."""

    event: str
    """What a request to it does, such as ``runs/create``."""
    template: str | None
    """The path, with the names of its parameters in braces; None where there is no such route."""
    reads: bool
    """Whether it only reads."""
    keys: Mapping[str, str]
    """Names in a body that name the object, with the name of each in the line."""


UNKNOWN = Route("unknown", None, False, {})
"""What a request is for that no route serves. Its path may hold anything, and is left out."""
_NOTHING: Mapping[str, str] = {}


class Routes:
    """Finds the route of a request, as MLflow's own applications do.

    Args:
        native: The routes of the FastAPI application.
        flask: The routes of the Flask application that is mounted in it.
    """

    def __init__(self, native: Sequence[BaseRoute], flask: Map) -> None:
        self._plain: dict[tuple[str, str], Route] = {}
        self._native: list[tuple[re.Pattern[str], str, Route]] = []
        self._flask = flask.bind("")
        self._of_flask: dict[tuple[str, str], Route] = {}
        # Starlette asks the native routes first, and the earlier one of two.
        for method, path in _native(native):
            route = _route(method, path)
            if "{" not in path:
                self._plain.setdefault((method, path), route)
            else:
                self._native.append((compile_path(path)[0], method, route))
        for rule in flask.iter_rules():
            for method in rule.methods or ():
                route = self._of_flask[method, rule.rule] = _route(method, rule.rule)
                if not rule.arguments:
                    self._plain.setdefault((method, rule.rule), route)

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, Any]]:
        """Return the route of a request, and the parameters in its path."""
        if route := self._plain.get((method, path)):
            return route, _NOTHING
        for pattern, of, route in self._native:
            if of == method and (found := pattern.match(path)):
                return route, found.groupdict()
        try:
            rule, arguments = self._flask.match(path, method, return_rule=True)
        except HTTPException:
            return UNKNOWN, _NOTHING
        return self._of_flask[method, rule.rule], arguments


def _native(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    for context in iter_route_contexts(routes):
        # Flask is mounted.
        if not isinstance(context.original_route, Mount):
            for method in sorted(context.methods or ()):
                yield method, context.path


def _route(method: str, path: str) -> Route:
    template = _PARAMETER.sub(lambda found: f"{{{found[1] or found[2]}}}", path)
    return Route(
        event(method, template),
        template,
        reading.reads(method, template),
        objects.keys(template),
    )


def event(method: str, template: str) -> str:
    """Return what a request does, such as ``runs/create``: the route's words and what is done.

    Args:
        method: The HTTP method.
        template: The path of the route, with its parameters in braces.
    """
    path = _VERSION.sub("", reading.bare(template))
    words = [word for word in path.split("/") if word and "{" not in word]
    if words and words[-1].partition("-")[0] not in _VERBS and method in _OF_METHODS:
        words.append(_OF_METHODS[method])
    return "/".join(words)
