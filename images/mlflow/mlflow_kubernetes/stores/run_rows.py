"""The statements that make a run, and those that read all of runs."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
    SourceType,
)
from mlflow.utils.mlflow_tags import _get_run_name_from_tags
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Select,
    String,
    Text,
    any_,
    bindparam,
    cast,
    insert,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection
from sqlalchemy.sql import CompoundSelect

from mlflow_kubernetes.stores.batches import PAIR, Columns, lists, values_of
from mlflow_kubernetes.stores.tables import (
    DATASETS,
    EXPERIMENTS,
    INPUT_TAGS,
    INPUTS,
    LATEST,
    PARAMS,
    RUNS,
    TAGS,
    in_workspace,
    parameters,
)

_NEW: Columns = {
    "run_uuid": Text(),
    "name": Text(),
    "source_type": Text(),
    "source_name": Text(),
    "entry_point_name": Text(),
    "user_id": Text(),
    "status": Text(),
    "start_time": BigInteger(),
    "source_version": Text(),
    "lifecycle_stage": Text(),
    "artifact_uri": Text(),
}
_TEXTS: tuple[str, ...] = (
    "run_uuid",
    "name",
    "user_id",
    "status",
    "lifecycle_stage",
    "artifact_uri",
)
_NUMBERS: tuple[str, ...] = ("experiment_id", "start_time", "end_time")
INFO = (*_TEXTS, *_NUMBERS)
"""The columns of a run that its answers have."""
_MOST_RUNS = 1000
"""How many runs a statement names, five times each: SQLite takes 32,766 parameters."""


@dataclass(frozen=True)
class Experiment:
    """What a new run takes from its experiment."""

    experiment_id: int
    artifact_location: str
    lifecycle_stage: str


def create_at_once(
    connection: Connection,
    run: RunInfo,
    tags: list[RunTag],
    expected: Experiment,
    workspace: str | None,
) -> Experiment | None:
    """Make a run in PostgreSQL by one statement, if its experiment is as the caller takes it to be.

    Args:
        connection: Commits each statement by itself.
        run: The run.
        tags: Tags of the run.
        expected: The experiment of the run. Nothing is written if the database has another one.
        workspace: The workspace that has to have the experiment; None for any.

    Returns:
        The experiment; None if there is none of that id.
    """
    values = parameters(
        workspace,
        experiment=expected.experiment_id,
        location=expected.artifact_location,
        stage=expected.lifecycle_stage,
        **values_of(0, _NEW, [tuple(_row(run).values())]),
        **values_of(1, PAIR, [(tag.key, tag.value) for tag in tags]),
    )
    row = connection.execute(_creation(workspace is not None), values).one_or_none()
    return row and Experiment(*row)


def create(connection: Connection, run: RunInfo, experiment: int, tags: list[RunTag]) -> None:
    """Make a run in MySQL or SQLite, by a statement for the run and one for its tags."""
    connection.execute(insert(RUNS), _row(run) | {"experiment_id": experiment})
    rows = [{"run_uuid": run.run_id, "key": tag.key, "value": tag.value} for tag in tags]
    connection.execute(insert(TAGS), rows)


def read_experiment(
    connection: Connection, experiment: int, workspace: str | None
) -> Experiment | None:
    """Return an experiment that is to have a run; None if there is none of that id."""
    values = parameters(workspace, experiment=experiment)
    row = connection.execute(_experiment(workspace is not None), values).one_or_none()
    return row and Experiment(*row)


def read_experiment_of(connection: Connection, run_id: str, workspace: str | None) -> int | None:
    """Return the id of a run's experiment; None if there is no such run."""
    values = parameters(workspace, run=run_id)
    found: int | None = connection.execute(
        _experiment_of(workspace is not None), values
    ).scalar_one_or_none()
    return found


def _row(run: RunInfo) -> dict[str, Any]:
    """Return the columns of a new run, but for its experiment, as MLflow fills them."""
    return {
        "run_uuid": run.run_id,
        "name": run.run_name,
        "source_type": SourceType.to_string(SourceType.UNKNOWN),
        "source_name": "",
        "entry_point_name": "",
        "user_id": run.user_id,
        "status": run.status,
        "start_time": run.start_time,
        "source_version": "",
        "lifecycle_stage": run.lifecycle_stage,
        "artifact_uri": run.artifact_uri,
    }


@cache
def _experiment(workspace: bool) -> Select[Any]:
    experiment = select(
        EXPERIMENTS.c.experiment_id,
        EXPERIMENTS.c.artifact_location,
        EXPERIMENTS.c.lifecycle_stage,
    ).where(EXPERIMENTS.c.experiment_id == bindparam("experiment"))
    if not workspace:
        return experiment
    return experiment.where(EXPERIMENTS.c.workspace == bindparam("workspace", type_=String()))


@cache
def _experiment_of(workspace: bool) -> Select[Any]:
    run = select(RUNS.c.experiment_id).where(RUNS.c.run_uuid == bindparam("run", type_=String()))
    return in_workspace(run) if workspace else run


@cache
def _creation(workspace: bool) -> Select[Any]:
    experiment = _experiment(workspace).cte("experiment")
    expected = (
        select(experiment.c.experiment_id)
        .where(
            experiment.c.artifact_location == bindparam("location", type_=String()),
            experiment.c.lifecycle_stage == bindparam("stage", type_=String()),
        )
        .cte("expected")
    )
    new = lists(0, _NEW, "new")
    run = postgresql.insert(RUNS).from_select(
        ["experiment_id", *_NEW],
        select(expected.c.experiment_id, *new.c).select_from(expected, new),
        include_defaults=False,
    )
    pairs = lists(1, PAIR, "pairs")
    tags = postgresql.insert(TAGS).from_select(
        ["run_uuid", *PAIR],
        select(new.c.run_uuid, *pairs.c).select_from(expected, new, pairs),
        include_defaults=False,
    )
    return select(*experiment.c).add_cte(run.cte("new_run"), tags.cte("new_tags"))


def read_at_once(connection: Connection, run_id: str, workspace: str | None) -> Run | None:
    """Return all of a run from PostgreSQL by one statement; None if there is no such run.

    Args:
        connection: Commits each statement by itself.
        run_id: The run.
        workspace: The workspace that has to have the run; None for any.
    """
    values = parameters(workspace, run=run_id)
    parts = _by_run(connection.execute(_whole(workspace is not None), values))[run_id]
    if not parts["run"]:
        return None
    (row,) = parts["run"]
    texts = (row.text_1, row.text_2, row.text_3, row.text_4, row.text_5)
    info = dict(zip(_TEXTS, (run_id, *texts), strict=True)) | dict(
        zip(_NUMBERS, (row.number_1, row.number_2, row.number_3), strict=True)
    )
    run = _run(info, parts)
    models = [LoggedModelInput(row.text_1) for row in parts["input"]]
    return Run(run.info, run.data, RunInputs(run.inputs.dataset_inputs, models), run.outputs)


def complete(connection: Connection, infos: Sequence[Mapping[str, Any]]) -> list[Run]:
    """Return runs with all that a search returns of them, by one statement for 1,000 runs.

    Args:
        connection: A connection to any of the databases.
        infos: Their columns of the table of runs, at least those in :data:`INFO`, by name.
    """
    runs = []
    for start in range(0, len(infos), _MOST_RUNS):
        some = infos[start : start + _MOST_RUNS]
        values = {"runs": [info["run_uuid"] for info in some]}
        statement = _parts_of_several(connection.dialect.name == "postgresql")
        parts = _by_run(connection.execute(statement, values))
        runs += [_run(info, parts[info["run_uuid"]]) for info in some]
    return runs


_Parts = Mapping[str, list[Any]]


def _by_run(rows: Iterable[Any]) -> dict[str, _Parts]:
    """Return the rows of each part of each run."""
    found: dict[str, _Parts] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row[1]][row[0]].append(row)
    return found


def _run(info: Mapping[str, Any], parts: _Parts) -> Run:
    """Return a run without the models that are its inputs, which a search leaves out."""
    tags = [RunTag(row.text_1, row.text_2) for row in parts["tag"]]
    name = info["name"]
    return Run(
        RunInfo(
            run_id=info["run_uuid"],
            run_name=name or _get_run_name_from_tags(tags) or name,
            experiment_id=str(info["experiment_id"]),
            user_id=info["user_id"],
            status=info["status"],
            start_time=info["start_time"],
            end_time=info["end_time"],
            lifecycle_stage=info["lifecycle_stage"],
            artifact_uri=info["artifact_uri"],
        ),
        RunData(
            [
                Metric(
                    row.text_1, math.nan if row.is_nan else row.value, row.number_1, row.number_2
                )
                for row in parts["metric"]
            ],
            [Param(row.text_1, row.text_2) for row in parts["param"]],
            tags,
        ),
        RunInputs(_datasets(parts["dataset"])),
        RunOutputs([LoggedModelOutput(row.text_1, row.number_1) for row in parts["output"]]),
    )


def _datasets(rows: Iterable[Any]) -> list[DatasetInput]:
    """Return datasets, each of which has a row for each of its tags."""
    found: dict[str, DatasetInput] = {}
    for row in rows:
        dataset_id, name, digest, kind, source, schema, profile, key, value = row[2:11]
        if dataset_id not in found:
            dataset = Dataset(name, digest, kind, source, schema, profile)
            found[dataset_id] = DatasetInput(dataset, [])
        if key is not None:
            found[dataset_id].tags.append(InputTag(key, value))
    return list(found.values())


@cache
def _whole(workspace: bool) -> CompoundSelect[Any]:
    """Return PostgreSQL's statement for all of a run: a row for each part, in the same columns."""
    run_id = bindparam("run", type_=String())
    run = _part(
        "run",
        RUNS.c.run_uuid,
        [RUNS.c[column] for column in _TEXTS[1:]],
        [RUNS.c[column] for column in _NUMBERS],
    ).where(RUNS.c.run_uuid == run_id)
    if workspace:
        run = in_workspace(run)
    return union_all(
        run,
        *_parts(lambda column: column == run_id),
        _models("input", lambda column: column == run_id),
    )


@cache
def _parts_of_several(postgres: bool) -> CompoundSelect[Any]:
    """Return the statement for the parts of runs.

    Each part names the runs itself: PostgreSQL reads whole tables for a list that they share.
    """
    if postgres:
        listed = cast(bindparam("runs"), postgresql.ARRAY(Text()))
        return union_all(*_parts(lambda column: column == any_(listed)))
    runs = bindparam("runs", expanding=True, type_=String())
    return union_all(*_parts(lambda column: column.in_(runs)))


_Condition = Callable[[Any], ColumnElement[bool]]


def _parts(of: _Condition) -> list[Select[Any]]:
    """Return the statements for the parts of runs that a search returns.

    Args:
        of: Returns the condition for a column that names the run.
    """
    metrics = _part(
        *("metric", LATEST.c.run_uuid, [LATEST.c.key], [LATEST.c.timestamp, LATEST.c.step], LATEST)
    ).where(of(LATEST.c.run_uuid))
    pairs = (
        _part(name, table.c.run_uuid, [table.c.key, table.c.value], []).where(of(table.c.run_uuid))
        for name, table in (("param", PARAMS), ("tag", TAGS))
    )
    dataset = ("dataset_uuid", "name", "digest", "dataset_source_type", "dataset_source")
    datasets = (
        _part(
            "dataset",
            INPUTS.c.destination_id,
            [DATASETS.c[column] for column in (*dataset, "dataset_schema", "dataset_profile")]
            + [INPUT_TAGS.c.name, INPUT_TAGS.c.value],
            [],
        )
        .select_from(INPUTS)
        .join(DATASETS, INPUTS.c.source_id == DATASETS.c.dataset_uuid)
        .outerjoin(INPUT_TAGS, INPUT_TAGS.c.input_uuid == INPUTS.c.input_uuid)
        .where(INPUTS.c.destination_type == "RUN", of(INPUTS.c.destination_id))
    )
    return [metrics, *pairs, datasets, _models("output", of)]


def _models(part: str, of: _Condition) -> Select[Any]:
    return _part(part, INPUTS.c.source_id, [INPUTS.c.destination_id], [INPUTS.c.step]).where(
        INPUTS.c.source_type == f"RUN_{part.upper()}",
        of(INPUTS.c.source_id),
        INPUTS.c.destination_type == f"MODEL_{part.upper()}",
    )


def _part(
    name: str, run: Any, texts: list[Any], numbers: list[Any], point: Any = None
) -> Select[Any]:
    """Return a part of runs in the columns that all parts have, with NULL in those left over."""
    nothing = null()
    columns = [literal(name, Text()).label("part"), cast(run, Text()).label("run")]
    for index in range(9):
        text = texts[index] if index < len(texts) else nothing
        columns.append(cast(text, Text()).label(f"text_{index + 1}"))
    for index in range(3):
        number = numbers[index] if index < len(numbers) else nothing
        columns.append(cast(number, BigInteger()).label(f"number_{index + 1}"))
    value, is_nan = (nothing, nothing) if point is None else (point.c.value, point.c.is_nan)
    # MySQL has no cast to a boolean.
    columns += [cast(value, Double()).label("value"), cast(is_nan, Integer()).label("is_nan")]
    return select(*columns)
