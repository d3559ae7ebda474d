"""Which routes of MLflow only read. Every other route has a line in the audit log.

A route that a new release of MLflow adds has its line without a change here. tests/server goes over
every route of the running server.
"""

import re

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1), except those of ``CHANGING_GETS``."""
CHANGING_GETS = frozenset({"3.0/mlflow/assistant/sessions/{session_id}/stream"})
"""Routes that carry out on a GET what an earlier request asked for."""
POSTS = frozenset(
    {
        "2.0/mlflow/artifacts/presigned-download-url",
        "2.0/mlflow/experiments/search",
        "2.0/mlflow/experiments/search-datasets",
        # MLflow's own spelling of the route above; it answers that there is no such function.
        "2.0mlflow/experiments/search-datasets",
        "2.0/mlflow/logged-models/search",
        "2.0/mlflow/registered-models/get-latest-versions",
        "2.0/mlflow/runs/search",
        "3.0/jobs/search",
        "3.0/mlflow/datasets/search",
        "3.0/mlflow/issues/search",
        "3.0/mlflow/prompt-optimization/jobs/search",
        "3.0/mlflow/traces/batchGetInfos",
        "3.0/mlflow/traces/calculate-filter-correlation",
        "3.0/mlflow/traces/metrics",
        "3.0/mlflow/traces/search",
        # What a page reports of its own use, to MLflow's project; it is off.
        "3.0/mlflow/ui-telemetry",
        # Of MLflow's mutations, two search, and one returns its argument.
        "graphql",
    }
)
"""Routes that read on a POST, without what ``bare`` takes away."""
# A path that holds it belongs to a route of CHANGING_GETS, or may.
_CHANGING = "/mlflow/assistant/sessions/"
_API = re.compile(r"^/(?:(?:ajax-)?api/)?")


def bare(template: str) -> str:
    """Return a route's path without ``/api/`` or ``/ajax-api/``, which have the same routes."""
    return _API.sub("", template)


def reads(method: str, template: str) -> bool:
    """Say whether a route only reads, by its method and its path."""
    if method in SAFE:
        return bare(template) not in CHANGING_GETS
    return method == "POST" and bare(template) in POSTS


def surely_reads(method: str, path: str) -> bool:
    """Say whether a request only reads, without a look at the routes: most requests."""
    return method in SAFE and _CHANGING not in path
