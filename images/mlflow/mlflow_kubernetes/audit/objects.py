"""What a request is about: ids and names in its path, its headers, its query and its body.

A value is taken if its name is in a list below, and no other value is: not that of a parameter or
a tag, no password, no key, no address.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

BOUND = 8 * 1024
"""How much of a body is kept until the answer, in bytes. Clients of MLflow send ids first."""
CUT = "cut"
"""The name that says that the body was longer, so that names in it may be missing."""
_FORM = b"application/x-www-form-urlencoded"
_MOST_OF_A_LIST = 10
_NAMES = (
    *("action_endpoint_id", "alias", "artifact_path", "assessment_id", "assessment_name"),
    *("budget_policy_id", "dataset_id", "dataset_name", "dataset_record_ids", "endpoint_id"),
    *("endpoint_name", "experiment_id", "experiment_ids", "experiment_name", "guardrail_id"),
    *("is_admin", "issue_id", "item_id", "item_ids", "job_id", "job_name", "key"),
    *("model_definition_id", "model_id", "model_name", "name", "new_name", "new_owner", "path"),
    *("permission", "provider", "queue_id", "request_id", "request_ids", "resource_id"),
    *("resource_pattern", "resource_type", "role_id", "role_name", "run_id", "run_name"),
    *("run_uuid", "schema_id", "schema_ids", "scorer_id", "scorer_name", "scorer_version"),
    *("secret_id", "secret_name", "session_id", "source_run_id", "stage", "status", "tag_key"),
    *("trace_id", "trace_ids", "user", "username", "users", "version", "webhook_id"),
    *("workspace", "workspace_name"),
)
# Objects in a body that hold such names in their turn.
_HOLDERS = ("assessment", "mlflow_experiment", "trace", "trace_info", "trace_location")
# MLflow's handlers take both spellings (protobuf's JSON).
_SPELLINGS = {
    spelling: name
    for name in (*_NAMES, *_HOLDERS)
    for spelling in (name, re.sub(r"_(\w)", lambda found: found[1].upper(), name))
}
# A body that goes on to a provider of models may have anything under any name.
_OF_GATEWAY = {"model": "model"}
SPANS = "/v1/traces"
"""The route of spans by OpenTelemetry, which name their experiment and their run in headers."""
_HEADERS = {b"x-mlflow-experiment-id": "experiment_id", b"x-mlflow-run-id": "run_id"}
_SPACE = re.compile(r"[ \t\n\r]*")
_decoder = json.JSONDecoder()


def keys(template: str) -> Mapping[str, str]:
    """Return what names an object in the bodies of a route; nothing where a body is a file."""
    if template.startswith("/gateway/"):
        return _OF_GATEWAY
    if template.endswith(("/upload-artifact", "/artifacts/{artifact_path}")):
        return {}
    return _SPELLINGS


def in_path(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names in a path, without the path that the gateway calls at a provider."""
    members = ((name, value) for name, value in parameters.items() if name != "path")
    return _picked(members, _SPELLINGS)


def in_query(query: bytes) -> dict[str, Any]:
    """Return the names in a query, which count where a body has none."""
    return _picked(parse_qsl(query.decode("latin-1")), _SPELLINGS) if query else {}


def in_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Return the names in the headers of spans, whose body has none."""
    return {_HEADERS[name]: value.decode("latin-1") for name, value in headers if name in _HEADERS}


def in_body(body: bytes, kind: bytes, known: Mapping[str, str], *, cut: bool) -> dict[str, Any]:
    """Return the names in a body: JSON, or what a form sends.

    Args:
        body: The body, or its first bytes.
        kind: The content type.
        known: What ``keys`` returned.
        cut: Whether the body goes on.
    """
    if not known or not body:
        return {}
    if kind.partition(b";")[0].strip().lower() == _FORM:
        return _picked(parse_qsl(body.decode("latin-1")), known)
    if cut:
        return _picked(_members(body.decode(json.detect_encoding(body), "replace")), known)
    try:
        found = json.loads(body)
        # Old clients send JSON within a JSON text.
        found = json.loads(found) if isinstance(found, str) else found
    except (ValueError, RecursionError):
        return {}
    return _picked(found.items(), known) if isinstance(found, dict) else {}


def _picked(members: Iterable[tuple[str, Any]], known: Mapping[str, str]) -> dict[str, Any]:
    """Return the texts and numbers that have a known name; the last one of each name counts."""
    found: dict[str, Any] = {}
    for key, value in members:
        name = known.get(key)
        if name is None:
            continue
        if isinstance(value, dict):
            if name in _HOLDERS:
                found |= _picked(value.items(), known)
        elif isinstance(value, list):
            plain = [one for one in value if isinstance(one, (str, int))]
            found[name] = plain[:_MOST_OF_A_LIST]
            if len(plain) > _MOST_OF_A_LIST:
                found[name].append(f"and {len(plain) - _MOST_OF_A_LIST} more")
        elif isinstance(value, (str, int)) and name not in _HOLDERS:
            found[name] = value
    return found


def _members(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the members of a JSON object, up to the place where its text is cut."""
    at = _skipped(text, 0)
    try:
        separator = "{"
        while text[at : at + 1] == separator:
            key, at = _decoder.raw_decode(text, _skipped(text, at + 1))
            at = _skipped(text, at)
            if text[at : at + 1] != ":" or not isinstance(key, str):
                return
            value, at = _decoder.raw_decode(text, _skipped(text, at + 1))
            at = _skipped(text, at)
            # A number that ends where the text ends may be a part of a number.
            if at == len(text):
                return
            yield key, value
            separator = ","
    except (ValueError, RecursionError):
        return


def _skipped(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
