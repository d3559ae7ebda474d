"""Requests that a client can form, and that no database or protobuf accepts."""

import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from harness.kubectl import Kubectl
from harness.stack import Stack, basic_login
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER

_LIST_API = POD_SCRIPTS / "list_api.py"
# What a driver, SQLAlchemy or Python say of themselves.
_INSIDES = re.compile(r"\[SQL|\bSELECT\b|\bINSERT INTO\b|sqlalche\.me|psycopg2|pymysql|Traceback")
# Left out of a request that is all right: they choose something, rather than say it.
_CHOICES = {
    *("artifact_location", "filter", "filter_string", "new_name", "order_by", "page_token"),
    *("schema", "profile", "source_type", "view_type", "run_view_type", "secret"),
}
NUL = "a\0b"
_ATTEMPTS = 3
VALUES: SearchStrategy[Any] = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Co"]), min_size=1, max_size=5),
    st.sampled_from([NUL, "\0", "\ud800", "é" * 6000, "x" * 70_000, "'", "%", "../x", "NaN"]),
    st.sampled_from(
        ["[]", "{}", "null", '{"a": "\\u0000"}', "9" * 30, "1e400", "\u0661", "params.a = 'x\0'"]
    ),
    st.integers(),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30]),
    st.floats(),
    st.none() | st.booleans(),
    st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=3,
    ),
)


@dataclass(frozen=True)
class Field:
    """A field of a call, which may lie within others."""

    verb: str
    path: str
    fields: dict[str, Any]
    name: tuple[str, ...]
    text: bool
    """Whether the API says that it is a text."""

    def __str__(self) -> str:
        return f"{self.verb} {self.path} {'.'.join(self.name)}"


class Api:
    """A server's API, with an experiment, a run and a model to write to."""

    def __init__(self, stack: Stack, port: int) -> None:
        self._port = port
        self._headers = {
            "Authorization": basic_login(stack.client_env()),
            "Content-Type": "application/json",
        }
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.fields = list(_fields(stack.kubectl))
        name = f"bad input {time.time_ns()}"
        experiment = self._made("experiments/create", name=name)["experiment_id"]
        run = self._made("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        self._made("registered-models/create", name=name)
        self._known: dict[str, Any] = {
            **{name: experiment for name in ("experiment_id", "experiment_ids")},
            **{name: run for name in ("run_id", "run_uuid", "source_run_id")},
            **{"name": name, "version": "1", "url": "https://a.example", "new_name": "b"},
            **{"start_time": 1, "end_time": 2, "timestamp": 3, "max_results": 5},
        }

    def send(self, field: Field, value: Any) -> tuple[int, str]:
        """Send a call that is all right but for the value of one field; return what is answered."""
        body = {
            name: self._right(name, one)
            for name, one in field.fields.items()
            if name not in _CHOICES
        }
        at, fields = body, field.fields
        for name in field.name[:-1]:
            inner = at.setdefault(name, self._right(name, fields[name]))
            at, fields = inner[0] if fields[name]["many"] else inner, fields[name]["type"]
        at[field.name[-1]] = value
        path = re.sub(
            r"{([\w.]+)}|<path:(\w+)>",
            lambda found: _quoted(body.get(found[1] or found[2], "x")),
            field.path,
        )
        if field.verb != "GET":
            return self.ask(field.verb, path, json.dumps(body))
        pairs = [
            (name, _plain(one))
            for name, given in body.items()
            for one in (given if isinstance(given, list) else [given])
        ]
        return self.ask("GET", f"{path}?{urlencode(pairs, errors='surrogatepass')}"[:60_000], None)

    def ask(
        self,
        verb: str,
        path: str,
        body: str | None,
        headers: Mapping[str, bytes | str] | None = None,
    ) -> tuple[int, str]:
        """Return the status and the text of an answer.

        A lost connection is tried again, because kubectl's forwarding may have lost it.
        """
        for attempt in range(_ATTEMPTS):
            try:
                self._connection.request(verb, path, body, {**self._headers, **(headers or {})})
                answer = self._connection.getresponse()
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException):
                # The next request begins with a new connection.
                self._connection.close()
                if attempt + 1 == _ATTEMPTS:
                    raise
                time.sleep(1)
        raise AssertionError

    def _made(self, path: str, **body: Any) -> Any:
        status, said = self.ask("POST", f"/api/2.0/mlflow/{path}", json.dumps(body))
        assert status == 200, said
        return json.loads(said)

    def _right(self, name: str, field: dict[str, Any]) -> Any:
        kind = field["type"]
        if field["map"]:
            return {"a": "b"}
        if isinstance(kind, dict):
            value: Any = {
                inner: self._right(inner, one)
                for inner, one in kind.items()
                if inner not in _CHOICES
            }
        elif isinstance(kind, list):
            value = kind[-1]
        else:
            some = {"string": "a", "boolean": False, "Timestamp": "2026-01-01T00:00:00Z"}
            some |= {"Duration": "1s", "Struct": {"a": 1}, "FieldMask": "a"}
            value = self._known.get(name, some.get(kind, 1))
        return [value] if field["many"] else value


def problem(answer: tuple[int, str]) -> str:
    """Return what is wrong with an answer to a request that may be all wrong itself."""
    status, said = answer
    # The store has no uploads in parts for clients, and says so.
    if status >= 500 and '"NOT_IMPLEMENTED"' not in said:
        return f"{status}: {said[:300]}"
    if status >= 400 and _INSIDES.search(said):
        return f"quotes what is inside: {said[:300]}"
    return ""


def _fields(kubectl: Kubectl) -> Iterator[Field]:
    def within(call: dict[str, Any], fields: dict[str, Any], above: tuple[str, ...]) -> Any:
        for name, field in fields.items():
            kind = field["type"]
            yield Field(
                call["verb"], call["path"], call["fields"], (*above, name), kind == "string"
            )
            if isinstance(kind, dict) and not field["map"]:
                yield from within(call, kind, (*above, name))

    for call in json.loads(kubectl.python(SERVER, _LIST_API, seconds=60)):
        yield from within(call, call["fields"], ())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(value: Any) -> str:
    return quote(_plain(value)[:5000], safe="", errors="surrogatepass")
