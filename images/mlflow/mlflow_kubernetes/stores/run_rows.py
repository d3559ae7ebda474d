"""The statements that make a run, and the one that reads all of a run from PostgreSQL."""

from collections.abc import Iterable
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
    Boolean,
    Double,
    Select,
    String,
    Text,
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
    rows: dict[str, list[Any]] = {part: [] for part in _PARTS}
    for row in connection.execute(_whole(workspace is not None), values):
        rows[row.part].append(row)
    if not rows["run"]:
        return None
    tags = [RunTag(row.text_1, row.text_2) for row in rows["tag"]]
    (run,) = rows["run"]
    info = RunInfo(
        run_id=run.text_1,
        run_name=run.text_2 or _get_run_name_from_tags(tags),
        experiment_id=str(run.number_1),
        user_id=run.text_3,
        status=run.text_4,
        start_time=run.number_2,
        end_time=run.number_3,
        lifecycle_stage=run.text_5,
        artifact_uri=run.text_6,
    )
    metrics = [
        Metric(
            row.text_1,
            float("nan") if row.is_nan else row.value,
            row.number_1,
            row.number_2,
        )
        for row in rows["metric"]
    ]
    params = [Param(row.text_1, row.text_2) for row in rows["param"]]
    return Run(
        info,
        RunData(metrics, params, tags),
        RunInputs(_datasets(rows["dataset"]), [LoggedModelInput(r.text_1) for r in rows["input"]]),
        RunOutputs([LoggedModelOutput(r.text_1, r.number_1) for r in rows["output"]]),
    )


def _datasets(rows: Iterable[Any]) -> list[DatasetInput]:
    """Return datasets, each of which has a row for each of its tags."""
    found: dict[str, DatasetInput] = {}
    for row in rows:
        dataset_id, name, digest, kind, source, schema, profile, key, value = row[1:10]
        if dataset_id not in found:
            dataset = Dataset(name, digest, kind, source, schema, profile)
            found[dataset_id] = DatasetInput(dataset, [])
        if key is not None:
            found[dataset_id].tags.append(InputTag(key, value))
    return list(found.values())


_PARTS = ("run", "metric", "param", "tag", "dataset", "input", "output")


@cache
def _whole(workspace: bool) -> CompoundSelect[Any]:
    """Return PostgreSQL's statement for all of a run: a row for each part, in the same columns."""
    run_id = bindparam("run", type_=String())
    texts = ("run_uuid", "name", "user_id", "status", "lifecycle_stage", "artifact_uri")
    run = _part(
        "run",
        [RUNS.c[column] for column in texts],
        [RUNS.c.experiment_id, RUNS.c.start_time, RUNS.c.end_time],
    ).where(RUNS.c.run_uuid == run_id)
    if workspace:
        run = in_workspace(run)
    metrics = _part("metric", [LATEST.c.key], [LATEST.c.timestamp, LATEST.c.step], LATEST).where(
        LATEST.c.run_uuid == run_id
    )
    params = _part("param", [PARAMS.c.key, PARAMS.c.value], []).where(PARAMS.c.run_uuid == run_id)
    tags = _part("tag", [TAGS.c.key, TAGS.c.value], []).where(TAGS.c.run_uuid == run_id)
    dataset = ("dataset_uuid", "name", "digest", "dataset_source_type", "dataset_source")
    datasets = (
        _part(
            "dataset",
            [DATASETS.c[column] for column in (*dataset, "dataset_schema", "dataset_profile")]
            + [INPUT_TAGS.c.name, INPUT_TAGS.c.value],
            [],
        )
        .select_from(INPUTS)
        .join(DATASETS, INPUTS.c.source_id == DATASETS.c.dataset_uuid)
        .outerjoin(INPUT_TAGS, INPUT_TAGS.c.input_uuid == INPUTS.c.input_uuid)
        .where(INPUTS.c.destination_type == "RUN", INPUTS.c.destination_id == run_id)
    )
    models = (
        _part(part, [INPUTS.c.destination_id], [INPUTS.c.step]).where(
            INPUTS.c.source_type == f"RUN_{part.upper()}",
            INPUTS.c.source_id == run_id,
            INPUTS.c.destination_type == f"MODEL_{part.upper()}",
        )
        for part in ("input", "output")
    )
    return union_all(run, metrics, params, tags, datasets, *models)


def _part(name: str, texts: list[Any], numbers: list[Any], point: Any = None) -> Select[Any]:
    """Return a part of a run in the columns that all parts have, with NULL in those left over."""
    nothing = null()
    columns = [literal(name, Text()).label("part")]
    for index in range(9):
        text = texts[index] if index < len(texts) else nothing
        columns.append(cast(text, Text()).label(f"text_{index + 1}"))
    for index in range(3):
        number = numbers[index] if index < len(numbers) else nothing
        columns.append(cast(number, BigInteger()).label(f"number_{index + 1}"))
    value, is_nan = (nothing, nothing) if point is None else (point.c.value, point.c.is_nan)
    columns += [cast(value, Double()).label("value"), cast(is_nan, Boolean()).label("is_nan")]
    return select(*columns)
