"""MLflow's tables of runs, and what the statements on them have in common."""

from typing import Any

from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlExperiment,
    SqlInput,
    SqlInputTag,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from sqlalchemy import Select, String, bindparam

DATASETS: Any = SqlDataset.__table__
EXPERIMENTS: Any = SqlExperiment.__table__
INPUTS: Any = SqlInput.__table__
INPUT_TAGS: Any = SqlInputTag.__table__
LATEST: Any = SqlLatestMetric.__table__
METRICS: Any = SqlMetric.__table__
PARAMS: Any = SqlParam.__table__
RUNS: Any = SqlRun.__table__
TAGS: Any = SqlTag.__table__


def in_workspace(run: Select[Any]) -> Select[Any]:
    """Return the statement for a run, restricted to a workspace."""
    return run.join(EXPERIMENTS, EXPERIMENTS.c.experiment_id == RUNS.c.experiment_id).where(
        EXPERIMENTS.c.workspace == bindparam("workspace", type_=String())
    )


def parameters(workspace: str | None, **others: Any) -> dict[str, Any]:
    """Return the parameters of a statement.

    Args:
        workspace: The workspace that the statement is restricted to; None for any.
        others: The other parameters, by name.
    """
    return others if workspace is None else {**others, "workspace": workspace}
