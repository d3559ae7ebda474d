"""The comparison of tables finds every row that an upgrade loses or changes."""

import pytest

from tests.e2e.support.tables import Table, differences

TRACE = ["request_id", "key", "value"]
SPAN = ["trace_id", "span_id", "content"]
BEFORE = {
    "runs.metrics": Table(["run_uuid", "value"], [["a", 1.5], ["a", 1.5], ["b", None]]),
    "runs.trace_tags": Table(TRACE, [["t", "mlflow.traceName", "name"], ["t", "own", "1"]]),
    "runs.trace_request_metadata": Table(
        TRACE, [["t", "mlflow.trace.tokenUsage", '{"input_tokens": 3}']]
    ),
    "runs.trace_info": Table(["request_id"], [["t"]]),
    "runs.spans": Table(
        [*SPAN, "dimension_attributes"], [["t", "s", "{}", {"mlflow.llm.model": "m"}]]
    ),
    "runs.alembic_version": Table(["version_num"], [["old"]]),
}
INFO = ["request_id", "trace_name", "input_tokens"]
MODEL = [*SPAN, "model_name", "model_provider"]
AFTER = {
    "runs.metrics": Table(["value", "run_uuid"], [[None, "b"], [1.5, "a"], [1.5, "a"]]),
    "runs.trace_tags": Table(TRACE, [["t", "own", "1"]]),
    "runs.trace_request_metadata": Table(TRACE, []),
    "runs.trace_info": Table(INFO, [["t", "name", 3]]),
    "runs.spans": Table(MODEL, [["t", "s", "{}", "m", None]]),
    "runs.alembic_version": Table(["version_num"], [["new"]]),
    "runs.new": Table(["id"], [[1]]),
}


def test_what_migrations_move_and_add_is_no_difference() -> None:
    assert differences(BEFORE, AFTER) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"runs.metrics": Table(["value", "run_uuid"], [[1.5, "a"], [None, "b"]])}, ["lacks"]),
        (
            {"runs.metrics": Table(["value", "run_uuid"], [[1.5, "a"], [1.4, "a"], [None, "b"]])},
            ["lacks", "has a new row"],
        ),
        ({"runs.trace_tags": Table(TRACE, [])}, ["lacks"]),
        ({"runs.trace_info": Table(INFO, [["t", "other", 3]])}, ["as trace_name: expected 'name'"]),
        ({"runs.trace_info": Table(INFO, [["t", "name", 4]])}, ["as input_tokens: expected 3"]),
        ({"runs.spans": Table(MODEL, [["t", "s", "{}", None, None]])}, ["as model_name"]),
        ({"runs.metrics": Table(["run_uuid"], [["a"], ["a"], ["b"]])}, ["no column value"]),
    ],
)
def test_every_other_change_is_told(changed: dict[str, Table], said: list[str]) -> None:
    found = differences(BEFORE, AFTER | changed)
    assert all(any(words in line for line in found) for words in said), found


def test_a_table_that_is_gone_is_told() -> None:
    assert differences(BEFORE, {k: v for k, v in AFTER.items() if k != "runs.metrics"}) == [
        "runs.metrics is gone"
    ]


def test_rows_of_a_run_that_is_still_logged_to_are_ignored() -> None:
    more = Table(["value", "run_uuid"], [[None, "b"], [1.5, "a"], [1.5, "a"], [7.0, "c"]])
    assert differences(BEFORE, AFTER | {"runs.metrics": more}, ignored=["c"]) == []
    assert differences(BEFORE, AFTER | {"runs.metrics": more}) != []
