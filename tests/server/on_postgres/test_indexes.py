"""This project's indexes beside MLflow's tables, and the store of runs, on a real PostgreSQL."""

import random
import sys
from pathlib import Path

import pytest
import sqlalchemy
from conftest import Postgres
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from mlflow_kubernetes.support import indexes, schemas
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e" / "support" / "pod_scripts"))

import compare_stores

NAMES = {
    f"mlflow_kubernetes_{name}"
    for name in ("runs_by_start", "runs_by_known_start", "params_by_value", "tags_by_value")
}


def ours(engine: Engine) -> dict[str, str]:
    """Return the definitions of this project's indexes that are of use."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class"
            " ON pg_class.oid = indexrelid WHERE indisvalid AND starts_with(relname, 'mlflow_')"
        )
        return dict(found.tuples().all())


def test_indexes_are_made_once_and_are_in_no_migrations_way(
    postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    address = postgres.uri("mlflow")
    engine = sqlalchemy.create_engine(address, poolclass=NullPool)
    InitialBase.metadata.create_all(engine)
    indexes.make(engine)
    assert capsys.readouterr().out.count("made the index") == len(NAMES)
    # Every migration that MLflow has.
    schemas.runs().make(engine)
    made = ours(engine)
    assert made.keys() == NAMES

    indexes.make(engine)
    assert capsys.readouterr().out == ""

    # What PostgreSQL keeps of an index whose making was killed.
    unfinished = "UPDATE pg_index SET indisvalid = false WHERE starts_with"
    postgres.ask(f"{unfinished}(indexrelid::regclass::text, 'mlflow_kubernetes_')", user="postgres")
    assert not ours(engine)
    indexes.make(engine)
    assert ours(engine) == made

    for seed in range(3):
        compare_stores.compare(address, random.Random(seed), length=20)  # noqa: S311 (no secret)
    assert compare_stores.count(address) == (
        dict.fromkeys(compare_stores.STATEMENTS, 1) | compare_stores.SEARCHES
    )
