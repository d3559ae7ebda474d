"""Answers and rows of the store of runs, beside MLflow's own store, on one SQLite database."""

import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e" / "support" / "pod_scripts"))

import compare_stores
from mlflow_kubernetes.stores import batches


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('stores')}/runs.db"


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(chance=st.randoms(use_true_random=False))
def test_runs_are_written_as_by_mlflow_itself(address: str, chance: random.Random) -> None:
    compare_stores.compare(address, chance, length=12)


def test_a_call_takes_one_statement_for_each_table_that_it_changes(address: str) -> None:
    expected = compare_stores.STATEMENTS | compare_stores.SEARCHES
    assert compare_stores.count(address) == expected


def test_a_database_that_takes_two_names_for_one_is_left_to_mlflow(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "compares_exactly", lambda _: False)
    chance = random.Random(1)  # noqa: S311 (no secret)
    compare_stores.compare(address, chance, length=12)
    assert compare_stores.count(address)["all of these"] > 10
