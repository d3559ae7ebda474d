"""Compare the reads of MLflow's own store with those of this project's, on a PostgreSQL server.

Runs where MLflow is installed, and takes the address of a login that may make databases. Two are
made and removed again: one as MLflow's migrations leave it, and a copy with this project's indexes.
"""

# Runs where MLflow is installed, which is not where pyright is: what comes of MLflow is unknown.
# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import sqlalchemy
from mlflow.entities import ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow_kubernetes import stores
from mlflow_kubernetes.support import indexes
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

_MOST_SECONDS = 20
"""When a slow read is not measured in another pair."""
SIZES = (1_000, 10_000, 100_000)
POINTS = (10_000, 1_000_000)
TRACES = 10_000
_FOLDER = "/tmp/reads"  # noqa: S108 (nothing is written)
_PLAIN, _OURS = "mlflow_reads_plain", "mlflow_reads"
_EXPERIMENT = "100"
# Each run has 10 metrics, 5 params and 5 tags. A param has the same value in 1 run of 100, a tag in
# 1 of 10.
_RUNS = """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace)
    VALUES (100, 'large', 's3://bucket/100', 'active', 'default');
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,
        start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
    SELECT md5('run ' || n), 'run ' || n, 'UNKNOWN', '', '', 'me', 'FINISHED',
        1700000000000 + n, 1800000000000, '', 'active',
        's3://bucket/100/' || md5('run ' || n) || '/artifacts', 100
    FROM generate_series(1, %(runs)s) n;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'm' || k, mod(n * 7919::bigint + k * 104729, 1000003) / 1e6, 1, 1, false,
        md5('run ' || n)
    FROM generate_series(1, %(runs)s) n, generate_series(0, 9) k ORDER BY n, k;
INSERT INTO params (key, value, run_uuid)
    SELECT 'p' || k, mod(n * 31 + k, 100), md5('run ' || n)
    FROM generate_series(1, %(runs)s) n, generate_series(0, 4) k ORDER BY n, k;
INSERT INTO tags (key, value, run_uuid)
    SELECT 't' || k, mod(n * 17 + k, 10), md5('run ' || n)
    FROM generate_series(1, %(runs)s) n, generate_series(0, 4) k ORDER BY n, k;
"""
_OTHERS = """
INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'of ' || points, sin(n), n, n, false, md5('run 1')
    FROM unnest(%(points)s) points, generate_series(1, points) n;
INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status)
    SELECT 'tr-' || md5('trace ' || n), 100, n, 5, 'OK' FROM generate_series(1, %(traces)s) n;
INSERT INTO trace_tags (key, value, request_id)
    SELECT 't' || k, mod(n * 17 + k, 10), 'tr-' || md5('trace ' || n)
    FROM generate_series(1, %(traces)s) n, generate_series(0, 4) k ORDER BY n, k;
"""
_SEARCHES: dict[str, dict[str, Any]] = {
    "newest 100 runs": {},
    "newest 1,000 runs": {"max_results": 1000},
    "newest 100 runs, as the page asks": {"order_by": ["attributes.start_time DESC"]},
    "100 runs by a metric": {"order_by": ["metrics.m1 DESC"]},
    "100 runs with a param": {"filter_string": "params.p1 = '7'"},
    "100 runs with a tag": {"filter_string": "tags.t1 = '3'"},
    "100 runs with a metric above": {"filter_string": "metrics.m1 > 0.9"},
}

Read = Callable[[SqlAlchemyStore], object]


def reads(size: int) -> Iterator[tuple[str, Read]]:
    """Return what is measured with a number of runs in the experiment."""
    for name, options in _SEARCHES.items():
        chosen = {"max_results": 100, **options}
        yield name, partial(_search, **chosen)
    if size == SIZES[-1]:
        for points in POINTS:
            history = partial(_history, key=f"of {points}")
            yield f"all {points:,} points of a metric", history
            yield f"1,000 of {points:,} points", partial(history, max_results=1000)
        yield f"newest 100 of {TRACES:,} traces", _traces
        yield (
            f"100 of {TRACES:,} traces with a tag",
            partial(_traces, filter_string="tags.t1 = '3'"),
        )


def _search(store: SqlAlchemyStore, **options: Any) -> object:
    return store.search_runs(
        **{"experiment_ids": [_EXPERIMENT], "filter_string": None, **options},
        run_view_type=ViewType.ACTIVE_ONLY,
    )


def _history(store: SqlAlchemyStore, key: str, max_results: int | None = None) -> object:
    run = hashlib.md5(b"run 1", usedforsecurity=False).hexdigest()
    return store.get_metric_history(run, key, max_results)


def _traces(store: SqlAlchemyStore, filter_string: str | None = None) -> object:
    return store.search_traces([_EXPERIMENT], filter_string, max_results=100)


@contextmanager
def databases(server: URL, size: int) -> Iterator[tuple[SqlAlchemyStore, SqlAlchemyStore]]:
    """Make the databases with a number of runs, and give MLflow's own store and this project's."""
    engine = sqlalchemy.create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    plain, ours = (_address(server, name) for name in (_PLAIN, _OURS))
    with engine.connect() as connection:

        def drop() -> None:
            for name in (_PLAIN, _OURS):
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

        drop()
        connection.exec_driver_sql(f"CREATE DATABASE {_PLAIN}")
        try:
            SqlAlchemyStore(plain, _FOLDER).engine.dispose()
            _run(plain, _RUNS, runs=size)
            if size == SIZES[-1]:
                _run(plain, _OTHERS, points=list(POINTS), traces=TRACES)
            connection.exec_driver_sql(f"CREATE DATABASE {_OURS} TEMPLATE {_PLAIN}")
            indexes.make(sqlalchemy.create_engine(ours, poolclass=NullPool))
            for address in (plain, ours):
                _run(address, "VACUUM ANALYZE")
            yield SqlAlchemyStore(plain, _FOLDER), stores.tracking_store(ours, _FOLDER)
        finally:
            drop()


def _address(server: URL, name: str) -> str:
    return str(server.set(database=name).render_as_string(hide_password=False))


def _run(address: str, statements: str, **values: Any) -> None:
    engine = sqlalchemy.create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statements, values)


def measured(
    read: Read, pair: tuple[SqlAlchemyStore, SqlAlchemyStore], pairs: int
) -> list[list[float]]:
    """Return the milliseconds of a read in MLflow's own store and in this project's, in pairs."""
    # The first pair fills caches.
    for store in pair:
        timed(read, store)
    found: list[list[float]] = []
    start = time.monotonic()
    while len(found) < pairs and (not found or time.monotonic() - start < _MOST_SECONDS):
        found.append([timed(read, store) for store in pair])
    return found


def timed(read: Read, store: SqlAlchemyStore) -> float:
    """Return the milliseconds that a read takes."""
    start = time.perf_counter()
    read(store)
    return (time.perf_counter() - start) * 1000


def row(name: str, size: int, pairs: list[list[float]]) -> str:
    """Return one line of the table."""
    theirs, ours = zip(*pairs, strict=True)
    each = [one / other for one, other in zip(theirs, ours, strict=True)]
    shown = (
        f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to"
        f" {max(values):,.{digits}f})"
        for values, digits in ((theirs, 0), (ours, 0), (each, 1))
    )
    return f"| {name} | {size:,} | {' | '.join(shown)} |"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.reads", description=__doc__)
    parser.add_argument("server", type=sqlalchemy.make_url, help="postgresql+psycopg2://...")
    parser.add_argument("--pairs", type=int, default=5, help="times that each read is measured")
    given = parser.parse_args()
    print("| what | runs | MLflow's store, ms | this project's, ms | ratio of a pair |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        with databases(given.server, size) as pair:
            for name, read in reads(size):
                print(row(name, size, measured(read, pair, given.pairs)), flush=True)


if __name__ == "__main__":
    main()
