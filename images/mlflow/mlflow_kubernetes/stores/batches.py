"""What is logged to a run in one call, and the statements that write it.

MLflow's store writes a batch by its object-relational mapper: it reads the run twice, asks which of
the keys exist, locks those, and then inserts and updates, in two transactions. Each statement is a
round trip to the database (mlflow/mlflow#3010).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sqlalchemy
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.types import TypeEngine

from mlflow_kubernetes.stores.tables import (
    LATEST,
    METRICS,
    PARAMS,
    RUNS,
    TAGS,
    in_workspace,
    parameters,
)

Columns = Mapping[str, TypeEngine[Any]]
"""Names of columns with the types that PostgreSQL reads lists of them as."""

# The columns of a row, in the order of the tuples of a Batch. All but the two of a primary key are
# what an upsert changes. MySQL sets one column after the other, and reads the new values of those
# that are set already: `step` decides first and is set last.
_POINT: Columns = {
    "key": Text(),
    "is_nan": Boolean(),
    "value": Double(),
    "timestamp": BigInteger(),
    "step": BigInteger(),
}
_CHANGING = ("is_nan", "value", "timestamp", "step")
PAIR: Columns = {"key": Text(), "value": Text()}
_CHANGES: Columns = {"name": Text(), "status": Text(), "end_time": BigInteger()}
_RUN = (
    *("run_uuid", "name", "experiment_id", "user_id", "status", "start_time", "end_time"),
    *("lifecycle_stage", "artifact_uri"),
)
_IDENTITY = ("key", "run_uuid")


@dataclass
class Batch:
    """What one call logs, without what it repeats, in the order in which rows are locked."""

    points: list[tuple[Any, ...]] = field(default_factory=list)
    """Metrics: key, whether it is NaN, value, timestamp, step."""
    latest: list[tuple[Any, ...]] = field(default_factory=list)
    """The newest of the points of each key."""
    params: list[tuple[str, str]] = field(default_factory=list)
    tags: list[tuple[str, str]] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    """New values of columns of the run."""


@dataclass(frozen=True)
class Found:
    """What the database has of a run, before a batch is written."""

    run_uuid: str
    name: str | None
    experiment_id: int
    user_id: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str
    params: Mapping[str, str]
    """Values by key: of PostgreSQL, those that the batch would change; else, those that are in the
    batch."""


def batch(
    points: Iterable[tuple[Metric, bool, float]] = (),
    params: Iterable[Param] = (),
    tags: Iterable[RunTag] = (),
) -> Batch:
    """Return what a call logs.

    Args:
        points: Metrics, whether each is NaN, and the value that a database has for it.
        params: Have different keys.
        tags: The last one of a key counts.
    """
    every: dict[tuple[Any, ...], None] = {}
    latest: dict[str, tuple[Any, ...]] = {}
    for metric, is_nan, value in points:
        point = (metric.key, is_nan, float(value), metric.timestamp, metric.step)
        every[point] = None
        newest = latest.get(metric.key)
        # MLflow's own order of points. The first of two that are equal in it stays.
        if newest is None or point[:1:-1] > newest[:1:-1]:
            latest[metric.key] = point
    values: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for tag in tags:
        if tag.key != MLFLOW_RUN_NAME:
            values[tag.key] = tag.value
        elif tag.value:
            # The tag and the name of a run are the same, and a run is never without a name.
            values[tag.key] = changes["name"] = tag.value
    # Two transactions that lock the same rows in the same order do not wait for each other.
    return Batch(
        points=sorted(every, key=_place),
        latest=[latest[key] for key in sorted(latest)],
        params=sorted((param.key, param.value) for param in params),
        tags=sorted(values.items()),
        changes=changes,
    )


def _place(point: tuple[Any, ...]) -> tuple[Any, ...]:
    return point[0], *point[:1:-1]


def compares_exactly(connection: Connection) -> bool:
    """Return whether two names are one to the database only if every letter is the same.

    MySQL compares names by the collation of their column. Of its collations, this one alone also
    counts spaces at the end: https://dev.mysql.com/doc/refman/9.7/en/charset-binary-collations.html
    """
    if connection.dialect.name != "mysql":
        return True
    columns = sqlalchemy.table(
        "columns",
        *map(sqlalchemy.column, ("table_schema", "table_name", "column_name", "collation_name")),
        schema="information_schema",
    )
    collation = select(columns.c.collation_name).where(
        columns.c.table_schema == func.database(),
        columns.c.table_name == LATEST.name,
        columns.c.column_name == LATEST.c.key.name,
    )
    return connection.execute(collation).scalar() == "utf8mb4_0900_bin"


def write_at_once(
    connection: Connection, run_id: str, workspace: str | None, batch: Batch
) -> Found | None:
    """Write a batch to PostgreSQL by one statement, which checks the run as well.

    Nothing is written if the run is not active, or if the batch would change a param.

    Args:
        connection: Commits each statement by itself.
        run_id: The run.
        workspace: The workspace that has to have the run; None for any.
        batch: What is written.

    Returns:
        What the database had of the run; None if there is no such run.

    Raises:
        IntegrityError: if another transaction has just logged one of the params.
    """
    statement = _everything(
        bool(batch.points),
        bool(batch.params),
        bool(batch.tags),
        tuple(batch.changes),
        workspace is not None,
    )
    values = parameters(workspace, run=run_id)
    for number, (columns, rows) in enumerate(
        (
            (_POINT, batch.points),
            (_POINT, batch.latest),
            (PAIR, batch.params),
            (PAIR, batch.tags),
            (batch.changes, [tuple(batch.changes.values())]),
        )
    ):
        values |= values_of(number, columns, rows)
    return _found(connection.execute(statement, values))


def read(connection: Connection, run_id: str, workspace: str | None, batch: Batch) -> Found | None:
    """Return what the database has of a run, or None if there is no such run.

    Args:
        connection: Is within the transaction that writes the batch.
        run_id: The run.
        workspace: The workspace that has to have the run; None for any.
        batch: What is to be written.
    """
    values = parameters(workspace, run=run_id)
    if batch.params:
        values["keys"] = [key for key, _ in batch.params]
    return _found(connection.execute(_before(bool(batch.params), workspace is not None), values))


def write(connection: Connection, found: Found, batch: Batch) -> None:
    """Write a batch to MySQL or SQLite, one statement for each table.

    Args:
        connection: Is within the transaction that has read ``found``.
        found: An active run.
        batch: Changes no param of it.

    Raises:
        IntegrityError: if another transaction has just logged one of the params.
    """
    run_id = found.run_uuid
    # First: a row that refers to a run locks the run in MySQL, where another transaction that waits
    # for the same run would have to be given up.
    if batch.changes:
        run = update(RUNS).where(RUNS.c.run_uuid == run_id)
        connection.execute(run.values(batch.changes))
    points, latest, params, tags = _inserts(connection.dialect.name)
    new = [(key, value) for key, value in batch.params if key not in found.params]
    for statement, columns, rows in (
        (points, _POINT, batch.points),
        (latest, _POINT, batch.latest),
        (params, PAIR, new),
        (tags, PAIR, batch.tags),
    ):
        if rows:
            connection.execute(
                statement,
                [{"run_uuid": run_id, **dict(zip(columns, row, strict=True))} for row in rows],
            )


def _found(rows: Iterable[Any]) -> Found | None:
    params: dict[str, str] = {}
    row = None
    for row in rows:
        if len(row) > len(_RUN) and row.key is not None:
            params[row.key] = row.value
    return row and Found(**dict(zip(_RUN, row, strict=False)), params=params)


@cache
def _before(params: bool, workspace: bool) -> Select[Any]:
    run = _run(workspace)
    if not params:
        return run
    given = and_(
        PARAMS.c.run_uuid == RUNS.c.run_uuid,
        PARAMS.c.key.in_(bindparam("keys", expanding=True)),
    )
    return run.add_columns(PARAMS.c.key, PARAMS.c.value).outerjoin(PARAMS, given)


@cache
def _inserts(dialect: str) -> tuple[Any, Any, Any, Any]:
    """Return the statements that insert points, latest points, params and tags."""
    if dialect == "mysql":
        points, latest, params, tags = map(mysql.insert, (METRICS, LATEST, PARAMS, TAGS))
        new = latest.inserted
        # In this order: MySQL compares with what is set already.
        newest = [
            (column, func.if_(_is_newer(new), new[column], LATEST.c[column]))
            for column in _CHANGING
        ]
        return (
            points.on_duplicate_key_update(step=METRICS.c.step),
            latest.on_duplicate_key_update(newest),
            params,
            tags.on_duplicate_key_update(value=tags.inserted.value),
        )
    points, latest, params, tags = map(sqlite.insert, (METRICS, LATEST, PARAMS, TAGS))
    return points.on_conflict_do_nothing(), _upsert_points(latest), params, _upsert_tags(tags)


@cache
def _everything(
    points: bool, params: bool, tags: bool, changes: tuple[str, ...], workspace: bool
) -> Select[Any]:
    """Return PostgreSQL's statement for a batch that has these parts.

    The parts of a `WITH` that write see the database as it was before the statement, and all of
    them are done, whether or not the statement reads them:
    https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
    """
    run = _run(workspace).cte("run")
    writable = select(run.c.run_uuid).where(run.c.lifecycle_stage == "active")
    found = select(*(run.c[column] for column in _RUN))
    if params:
        given = lists(2, PAIR, "given")
        changed = (
            select(PARAMS.c.key, PARAMS.c.value)
            .join(given, PARAMS.c.key == given.c.key)
            .where(
                PARAMS.c.run_uuid == bindparam("run"),
                PARAMS.c.value.is_distinct_from(given.c.value),
            )
            .cte("changed")
        )
        writable = writable.where(~exists(select(changed.c.key)))
        found = found.add_columns(changed.c.key, changed.c.value).outerjoin_from(
            run, changed, changed.c.key.is_not(None)
        )
    active = writable.cte("active")
    writes: list[Any] = []
    if changes:
        new = lists(4, {column: _CHANGES[column] for column in changes}, "changes")
        run_changes = update(RUNS).where(RUNS.c.run_uuid == active.c.run_uuid)
        writes.append(run_changes.values({column: new.c[column] for column in changes}))
    if points:
        writes.append(
            _insert(METRICS, _POINT, lists(0, _POINT, "points"), active).on_conflict_do_nothing()
        )
        writes.append(_upsert_points(_insert(LATEST, _POINT, lists(1, _POINT, "newest"), active)))
    if params:
        new = lists(2, PAIR, "new")
        known = exists().where(PARAMS.c.run_uuid == active.c.run_uuid, PARAMS.c.key == new.c.key)
        writes.append(_insert(PARAMS, PAIR, new, active, ~known))
    if tags:
        writes.append(_upsert_tags(_insert(TAGS, PAIR, lists(3, PAIR, "tags_given"), active)))
    parts = [write.cte(f"write_{number}") for number, write in enumerate(writes)]
    return found.add_cte(*parts)


def _run(workspace: bool) -> Select[Any]:
    run = select(*(RUNS.c[column] for column in _RUN)).where(
        RUNS.c.run_uuid == bindparam("run", type_=String())
    )
    return in_workspace(run) if workspace else run


def lists(number: int, columns: Columns, name: str) -> Any:
    """Return rows that a statement gets as a list for each column.

    PostgreSQL converts the values as it comes to a row, and not before it looks at any table.

    Args:
        number: Tells the lists from others of the statement.
        columns: The columns of the rows.
        name: What the rows are called in the statement.
    """
    each = (
        cast(bindparam(f"{column}__{number}"), postgresql.ARRAY(kind))
        for column, kind in columns.items()
    )
    return func.unnest(*each).table_valued(*columns, name=name).render_derived()


def values_of(
    number: int, columns: Iterable[str], rows: Sequence[tuple[Any, ...]]
) -> dict[str, list[Any]]:
    """Return the values of :func:`lists` with the same number."""
    if not rows:
        return {}
    each = zip(columns, zip(*rows, strict=True), strict=True)
    return {f"{column}__{number}": list(values) for column, values in each}


def _insert(
    table: Any, columns: Columns, rows: Any, active: Any, *conditions: Any
) -> postgresql.Insert:
    return postgresql.insert(table).from_select(
        ["run_uuid", *columns],
        select(active.c.run_uuid, *(rows.c[column] for column in columns)).where(*conditions),
        include_defaults=False,
    )


def _upsert_points(insert: Any) -> Any:
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=_IDENTITY,
        set_={column: new[column] for column in _CHANGING},
        where=_is_newer(new),
    )


def _upsert_tags(insert: Any) -> Any:
    return insert.on_conflict_do_update(
        index_elements=_IDENTITY, set_={"value": insert.excluded.value}
    )


def _is_newer(new: Any) -> Any:
    """Say whether a point is newer than the latest one of its key, by MLflow's own rule."""
    return tuple_(new.step, new.timestamp, new.value) > tuple_(
        LATEST.c.step, LATEST.c.timestamp, LATEST.c.value
    )
