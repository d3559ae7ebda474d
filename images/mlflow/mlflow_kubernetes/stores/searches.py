"""Runs are searched in two statements, and histories of metrics read, with MLflow's own answers.

MLflow's store sorts all columns of every run that matches, to remove doubles that only a filter by
dataset makes. Then it makes an object for each metric, param and tag.
"""

import math
from collections.abc import Iterable
from typing import Any

from mlflow.entities import LifecycleStage, Metric, Run
from mlflow.entities.entity_type import EntityAssociationType
from mlflow.entities.metric import MetricWithRunId
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking.dbmodels.models import SqlRun
from mlflow.store.tracking.sqlalchemy_store import (
    _get_orderby_clauses,
    _get_sqlalchemy_filter_clauses,
)
from mlflow.utils.search_utils import SearchUtils
from mlflow.utils.validation import _parse_experiment_ids
from sqlalchemy import UnaryExpression, func, select
from sqlalchemy.sql import operators

from mlflow_kubernetes.stores import run_rows, runs
from mlflow_kubernetes.stores.statements import committing
from mlflow_kubernetes.stores.tables import METRICS
from mlflow_kubernetes.support.indexes import BEGINNING, VALUES

_POINT = tuple(METRICS.c[column] for column in ("key", "value", "timestamp", "step"))


class Store(runs.Store):
    """The store of runs, which searches them in few statements."""

    def _search_runs(  # noqa: PLR0917 (MLflow's own arguments)
        self,
        experiment_ids: list[str],
        filter_string: str | None,
        run_view_type: int,
        max_results: int | None,
        order_by: list[str] | None,
        page_token: str | None,
    ) -> tuple[list[Run], str | None]:
        """Return a page of runs, and the token of the next one: MLflow's search_runs calls this.

        Raises:
            MlflowException: as MLflow's store does.
        """
        self._validate_max_results_param(max_results, allow_null=True)
        stages = LifecycleStage.view_type_to_stages(run_view_type)
        with self.ManagedSessionMaker() as session, committing(session) as connection:
            parsed = SearchUtils.parse_search_filter(filter_string)
            sorted_by, order, sorting_joins = _get_orderby_clauses(order_by, session)
            attributes, pairs, datasets = _get_sqlalchemy_filter_clauses(
                parsed, session, self._get_dialect()
            )
            page = select(*(getattr(SqlRun, column) for column in run_rows.INFO), *sorted_by)
            for pair in pairs:
                page = page.join(_with_beginning(pair) if self._at_once else pair)
            for dataset in datasets:
                page = page.join(dataset, SqlRun.run_uuid == dataset.c.destination_id)
            for join in sorting_joins:
                page = page.outerjoin(join)
            offset = SearchUtils.parse_start_offset_from_page_token(page_token)
            searched = self._filter_experiment_ids(session, _parse_experiment_ids(experiment_ids))
            page = page.where(
                SqlRun.experiment_id.in_(searched), SqlRun.lifecycle_stage.in_(stages), *attributes
            )
            if datasets:
                # Of params, tags and latest metrics, a run has one of a name.
                page = page.distinct()
            if pairs or any(one["type"] != "attribute" for one in parsed):
                page, order = _found_first(page, order)
            page = page.order_by(*order).offset(offset)
            if max_results is not None:
                # One more than asked for tells whether there is a next page.
                page = page.limit(max_results + 1)
            found: list[dict[str, Any]] = [
                dict(zip(run_rows.INFO, row, strict=False)) for row in connection.execute(page)
            ]
            token = None
            if max_results is not None and len(found) > max_results:
                token = SearchUtils.create_page_token(offset + max_results)
            return run_rows.complete(connection, found[:max_results]), token

    def get_metric_history(
        self,
        run_id: str,
        metric_key: str,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[Metric]:
        """Return a page of the points of a metric of a run, by time, or all of them.

        Raises:
            MlflowException: as MLflow's store does.
        """
        with self.ManagedSessionMaker() as session, committing(session) as connection:
            self._validate_run_accessible(session, run_id)
            offset = SearchUtils.parse_start_offset_from_page_token(page_token)
            query = (
                select(*_POINT, METRICS.c.is_nan)
                .where(METRICS.c.run_uuid == run_id, METRICS.c.key == metric_key)
                .order_by(METRICS.c.timestamp, METRICS.c.step, METRICS.c.value)
                .offset(offset)
            )
            if max_results is not None:
                query = query.limit(max_results + 1)
            points = _points(connection.execute(query))
            token = None
            if max_results is not None and len(points) == max_results + 1:
                token = SearchUtils.create_page_token(offset + max_results)
                points.pop()
            return PagedList(points, token)

    def get_metric_history_bulk(
        self, run_ids: list[str], metric_key: str, max_results: int
    ) -> list[MetricWithRunId]:
        """Return the points of a metric of several runs, by run and time.

        Raises:
            MlflowException: as MLflow's store does.
        """
        with self.ManagedSessionMaker() as session, committing(session) as connection:
            kept = self._filter_entity_ids(session, EntityAssociationType.RUN, list(run_ids))
            query = (
                select(*_POINT, METRICS.c.is_nan, METRICS.c.run_uuid)
                .where(METRICS.c.key == metric_key, METRICS.c.run_uuid.in_(kept))
                .order_by(
                    *(METRICS.c.run_uuid, METRICS.c.timestamp, METRICS.c.step, METRICS.c.value)
                )
                .limit(max_results)
            )
            rows = connection.execute(query).all()
            return [
                MetricWithRunId(point, row.run_uuid)
                for point, row in zip(_points(rows), rows, strict=True)
            ]


def _with_beginning(pair: Any) -> Any:
    """Return a filter by a param or a tag in the words of the index of its value."""
    found = pair.element
    for one in found.whereclause:
        if one.operator is not operators.eq:
            continue
        column = one.left
        if column.name == "value" and column.table.name in VALUES:
            found = found.where(func.left(column, BEGINNING) == func.left(one.right, BEGINNING))
    return found.subquery()


def _found_first(found: Any, order: list[Any]) -> tuple[Any, list[Any]]:
    """Return a statement that finds all runs before it sorts them, and its order.

    PostgreSQL would follow an index in that order, and look for the param of run after run until it
    has a page. It does not look through an OFFSET.
    """
    inner = found.offset(0).subquery()

    def key(one: Any) -> Any:
        if isinstance(one, str):
            return inner.c[one]
        if isinstance(one, UnaryExpression):
            return inner.corresponding_column(one.element).desc()
        return inner.corresponding_column(one.expression)

    return select(*(inner.c[name] for name in run_rows.INFO)), [key(one) for one in order]


def _points(rows: Iterable[Any]) -> list[Metric]:
    return [
        Metric(key, math.nan if is_nan else value, timestamp, step)
        for key, value, timestamp, step, is_nan, *_ in rows
    ]
