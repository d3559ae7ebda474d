"""What a request asks for beyond a whole artifact: preconditions and a range (RFC 9110, 13, 14)."""

from collections.abc import Mapping
from http import HTTPStatus

from werkzeug.http import (
    parse_date,
    parse_etags,
    parse_if_range_header,
    parse_range_header,
)

from mlflow_kubernetes.artifacts.streams import Artifact

PRECONDITIONS = (
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
)


class UnsatisfiableError(Exception):
    """A range that begins after the end of the artifact."""


def failed(
    headers: Mapping[str, str], artifact: Artifact | None, *, reads: bool
) -> HTTPStatus | None:
    """Return the status of a request whose preconditions do not hold, or None where they do.

    No artifact means that there is none. ``reads`` is false for a request that stores one.
    """
    if "if-match" in headers:
        if artifact is None or not parse_etags(headers["if-match"]).contains(artifact.tag):
            return HTTPStatus.PRECONDITION_FAILED
    elif (since := parse_date(headers.get("if-unmodified-since"))) and (
        artifact is None or artifact.modified > since
    ):
        return HTTPStatus.PRECONDITION_FAILED
    unchanged = HTTPStatus.NOT_MODIFIED if reads else HTTPStatus.PRECONDITION_FAILED
    if "if-none-match" in headers:
        if artifact and parse_etags(headers["if-none-match"]).contains_weak(artifact.tag):
            return unchanged
    elif (
        reads
        and artifact
        and (since := parse_date(headers.get("if-modified-since")))
        and artifact.modified <= since
    ):
        return unchanged
    return None


def part(headers: Mapping[str, str], artifact: Artifact) -> tuple[int, int] | None:
    """Return the first byte of the asked range and the one after its last; None means all.

    Several ranges at once, another unit and a malformed header are answered by all of the
    artifact, which RFC 9110 (14.2) permits. Raises UnsatisfiableError.
    """
    asked = parse_range_header(headers.get("range"))
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or not artifact.size:
        return None
    if (condition := headers.get("if-range")) and not _holds(condition, artifact):
        return None
    start, stop = asked.ranges[0]
    if start < 0:
        start = max(0, artifact.size + start)
    if start >= artifact.size:
        raise UnsatisfiableError
    return start, min(artifact.size, artifact.size if stop is None else stop)


def _holds(condition: str, artifact: Artifact) -> bool:
    named = parse_if_range_header(condition)
    if named.date:
        return named.date == artifact.modified
    # A weak tag says nothing of single bytes.
    return not condition.startswith("W/") and named.etag == artifact.tag
