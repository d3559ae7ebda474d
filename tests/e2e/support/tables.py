"""Every row of a stack's databases, and whether an upgrade of MLflow kept each of them.

What MLflow's own migrations move or change is listed here with the revision that does so, as read
in the scripts of MLflow 3.17.2 (mlflow/store/db_migrations/versions and
mlflow/server/auth/db/migrations/versions).
"""

import base64
import gzip
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.kubectl import Kubectl

_SCRIPT = Path(__file__).parent / "pod_scripts" / "read_tables.py"
_SHOWN = 5


@dataclass(frozen=True)
class Table:
    """What a table holds."""

    columns: list[str]
    rows: list[list[Any]]

    def dicts(self) -> list[dict[str, Any]]:
        """Return the rows, each with the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


Tables = Mapping[str, Table]
"""By database and name, such as `runs.metrics` and `users.roles`."""


@dataclass(frozen=True)
class Moved:
    """Values that a migration takes out of one table and keeps in columns of another one."""

    revision: str
    table: str
    keys: frozenset[str]
    """The rows that are moved, by their column `key`; empty means a column of all rows."""
    column: str
    """The column that has the value."""
    to: str
    by: tuple[tuple[str, str], ...]
    """The columns that find the row: in the table, and in the other table."""
    becomes: Callable[[str, Any], Mapping[str, Any]]
    """Return the columns that keep a value, from its key and the value itself."""


_ANALYTICS = "75868b020152_add_sql_trace_analytics_schema"
_TOKENS = frozenset({"input_tokens", "output_tokens", "total_tokens"})
_COSTS = frozenset({"input_cost", "output_cost", "total_cost"})
_OF_A_TRACE = (("request_id", "request_id"),)
_OF_A_SPAN = (("trace_id", "trace_id"), ("span_id", "span_id"))


def _dimensions(_: str, value: Any) -> dict[str, Any]:
    # A span without a model has the word `null`.
    found = (json.loads(value) if isinstance(value, str) else value) or {}
    names = {"model_name": "mlflow.llm.model", "model_provider": "mlflow.llm.provider"}
    return {column: found.get(name) for column, name in names.items()}


def _parts(_: str, value: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(value)
    return found


MOVED = (
    Moved(
        *(_ANALYTICS, "runs.trace_tags", frozenset({"mlflow.traceName"}), "value"),
        *("runs.trace_info", _OF_A_TRACE, lambda _, value: {"trace_name": value}),
    ),
    Moved(
        *(_ANALYTICS, "runs.trace_request_metadata", frozenset({"mlflow.trace.session"}), "value"),
        *("runs.trace_info", _OF_A_TRACE, lambda _, value: {"session_id": value}),
    ),
    Moved(
        _ANALYTICS,
        "runs.trace_request_metadata",
        frozenset({"mlflow.trace.tokenUsage", "mlflow.trace.cost"}),
        *("value", "runs.trace_info", _OF_A_TRACE, _parts),
    ),
    Moved(
        *(_ANALYTICS, "runs.trace_metrics", _TOKENS, "value"),
        *("runs.trace_info", _OF_A_TRACE, lambda key, value: {key: value}),
    ),
    Moved(
        *(_ANALYTICS, "runs.span_metrics", _COSTS, "value"),
        *("runs.spans", _OF_A_SPAN, lambda key, value: {key: value}),
    ),
    Moved(
        *(_ANALYTICS, "runs.spans", frozenset(), "dimension_attributes"),
        *("runs.spans", _OF_A_SPAN, _dimensions),
    ),
)
CHANGED = {
    ("runs.alembic_version", "version_num"): "names the revision of the schema",
    ("users.alembic_version_auth", "version_num"): "names the revision of the schema",
}
"""The columns whose values migrations change."""


def read(kubectl: Kubectl) -> dict[str, Table]:
    """Read both databases in a pod of the server, each in one snapshot."""
    packed = kubectl.python("deployment/mlflow", _SCRIPT, seconds=300)
    lines = iter(gzip.decompress(base64.b64decode(packed)).splitlines())
    found = {}
    for line in lines:
        head = json.loads(line)
        rows = [json.loads(next(lines)) for _ in range(head["rows"])]
        found[head["table"]] = Table(head["columns"], rows)
    return found


def differences(
    before: Tables, after: Tables, ignored: Collection[str] = (), *, upgraded: bool = True
) -> list[str]:
    """Return one line for each row that is not the same, or is new.

    New tables and new columns are left out. So are rows that have one of the values in ``ignored``,
    such as the id of a run that is still logged to. Values that an upgrade moves have to be where
    it moves them, if the tables were ``upgraded``.
    """
    moves = [one for one in MOVED if upgraded and one.column in _columns(one, before)]
    found = [_missing(one, before, after) for one in moves]
    for name, table in before.items():
        if name not in after:
            found.append([f"{name} is gone"])
            continue
        dropped = {one.column for one in moves if one.table == name and not one.keys}
        dropped |= {column for table, column in CHANGED if table == name}
        gone = set(table.columns) - dropped - set(after[name].columns)
        found.append([f"{name} has no column {column} any more" for column in sorted(gone)])
        kept = sorted(set(table.columns) - dropped - gone)
        moved = frozenset[str]().union(*(one.keys for one in moves if one.table == name))
        old = _rows(table, kept, moved, ignored)
        new = _rows(after[name], kept, moved, ignored)
        found.append([f"{name} lacks {row}" for row in (old - new).elements()])
        found.append([f"{name} has a new row {row}" for row in (new - old).elements()])
    return [line for lines in found for line in _shortened(lines)]


def _columns(moved: Moved, tables: Tables) -> list[str]:
    return tables[moved.table].columns if moved.table in tables else []


def _missing(moved: Moved, before: Tables, after: Tables) -> list[str]:
    """Return one line for each value that did not arrive where a migration moves it."""
    if moved.table == moved.to and moved.column in after[moved.to].columns:
        return []  # the migration is older than the data
    arrived = {tuple(row[to] for _, to in moved.by): row for row in after[moved.to].dicts()}
    lines = []
    for row in before[moved.table].dicts():
        if (moved.keys and row["key"] not in moved.keys) or row[moved.column] is None:
            continue
        place = tuple(row[column] for column, _ in moved.by)
        there = arrived.get(place, {})
        for column, value in moved.becomes(row.get("key", ""), row[moved.column]).items():
            if there.get(column) != value:
                lines.append(
                    f"{moved.to} of {place} has {there.get(column)!r} as {column}: expected"
                    f" {value!r} from {moved.table} ({moved.revision})"
                )
    return lines


def _rows(
    table: Table, columns: list[str], moved: Collection[str], ignored: Collection[str]
) -> Counter[str]:
    """Return the rows that have to stay, each as text."""
    places = [table.columns.index(column) for column in columns]
    key = table.columns.index("key") if moved else 0
    found = Counter[str]()
    for row in table.rows:
        if moved and row[key] in moved:
            continue
        if any(value in ignored for value in row if isinstance(value, str)):
            continue
        found[json.dumps([row[place] for place in places])] += 1
    return found


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"and {more} more"] if more > 0 else lines
