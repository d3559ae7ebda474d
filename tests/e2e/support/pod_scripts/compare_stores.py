"""Make the same random calls to MLflow's own store and to the server's, and compare all of it.

Runs in the server's pod, on the server's database: each history has an experiment of its own.
Takes a number of histories. Prints, as JSON, how many calls were compared, how many statements the
server's store takes for a call, how many are expected, and which of this project's indexes the
database lacks. tests/server calls the functions.
"""

import json
import os
import random
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow_kubernetes import stores
from mlflow_kubernetes.support import indexes

TABLES = {
    "runs": "run_uuid",
    "metrics": "run_uuid",
    "latest_metrics": "run_uuid",
    "params": "run_uuid",
    "tags": "run_uuid",
    "logged_model_metrics": "run_id",
}
"""The tables that a call to a run changes, with the column that names the run."""
STATEMENTS = {
    "create_run": 3,
    "1,000 metrics": 3,
    "the same metrics": 3,
    "100 params": 2,
    "100 tags": 2,
    "all of these": 5,
    "log_metric": 3,
    "log_param": 2,
    "set_tag": 2,
    "get_run": 7,
    "update_run_info": 2,
    "update_run_info with a name": 3,
}
"""How many statements each kind of call takes on MySQL and SQLite, where the first statement of a
write reads the run. On PostgreSQL, each call takes a single statement."""
SEARCHES = {"search_runs": 2, "search_runs with a filter and an order": 2, "get_metric_history": 1}
"""The same for searches, on any database: one for the runs of a page, and one for their parts."""
NAME = "mlflow.runName"
FOLDER = "/tmp/compared"  # noqa: S108 (nothing is written)
KEYS = ("a", "A", "b", "c", "a b", "x/y", "ü")
ODD_KEYS = (*KEYS, "", "a//b", "../a", "k" * 251, NAME)
VALUES = ("", "1", "2", "é", "v" * 600, "v" * 6001, "'", "%s", "\\", "{a}", "a, b")
# Without -0.0: MySQL keeps its sign, and MLflow's store takes it for no change of 0.0.
NUMBERS = (0.0, 1.0, -1.5, 1e-300, 1e308, float("nan"), float("inf"), float("-inf"))
MOMENTS = (0, 1, 2, 1_700_000_000_000)
STEPS = (-1, 0, 1, 2, 10**12)
ATTRIBUTES = ("run_name", "status", "start_time", "end_time", "user_id", "artifact_uri", "run_id")

Call = tuple[str, Callable[["Side"], Any]]


class Exact(str):
    """An answer that names the same runs to both stores, in an order that counts."""

    __slots__ = ()


class Side:
    """A store, and the ids that it gave to what was made."""

    def __init__(self, store: SqlAlchemyStore, experiment: str) -> None:
        self.store = store
        self.experiment = experiment
        self.runs: list[str] = []
        self.models: list[str] = []

    def alike(self, text: str) -> str:
        """Replace ids by the order in which things were made."""
        for kind, ids in (("run", self.runs), ("model", self.models)):
            for number, one in enumerate(ids):
                text = text.replace(one, f"<{kind} {number}>")
        return _short(text)

    def call(self, do: Callable[["Side"], Any]) -> str:
        """Return the answer to a call, or what it raises."""
        try:
            answer = do(self)
            return answer if isinstance(answer, Exact) else self.alike(repr(_plain(answer)))
        except MlflowException as error:
            # The driver's words differ with the statement; MLflow's words and the code count.
            said = "the database's words" if "[SQL: " in str(error) else str(error)
            return self.alike(f"{error.error_code}: {said}")
        except (ArithmeticError, TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    def rows(self) -> dict[str, list[str]]:
        """Return every row of the runs."""
        found = {}
        metadata = sqlalchemy.MetaData()
        with self.store.engine.connect() as connection:
            for name, column in TABLES.items():
                table = sqlalchemy.Table(name, metadata, autoload_with=connection)
                query = sqlalchemy.select(table).where(table.c[column].in_(self.runs))
                rows = [dict(row._mapping) for row in connection.execute(query)]
                for row in rows:
                    if row.get("deleted_time"):
                        row["deleted_time"] = "some time"
                found[name] = sorted(self.alike(repr(row)) for row in rows)
        return found


def _short(text: str) -> str:
    """Replace what repeats a letter by their number."""
    return re.sub(r"(\w)\1{9,}", lambda found: f"<{len(found[0])} {found[1]}>", text)


def _plain(value: Any) -> Any:
    """Return an answer in a form whose text shows all of it, in an order of its own."""
    if isinstance(value, dict):
        return sorted((key, _plain(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return sorted((_plain(one) for one in value), key=repr)
    if hasattr(value, "__dict__"):
        return type(value).__name__, [(key, _plain(one)) for key, one in vars(value).items()]
    return value


def _metric(chance: random.Random, models: int) -> tuple[Any, ...]:
    model = chance.randrange(models) if models and chance.random() < 0.2 else None
    key = chance.choice(ODD_KEYS if chance.random() < 0.02 else KEYS)
    return key, chance.choice(NUMBERS), chance.choice(MOMENTS), chance.choice(STEPS), model


def _text(chance: random.Random) -> tuple[str, str]:
    key = chance.choice(ODD_KEYS if chance.random() < 0.05 else KEYS)
    return key, chance.choice(VALUES)


def _tag(chance: random.Random) -> tuple[str, str]:
    key, value = _text(chance)
    # Of a name that is too long for the database, MLflow keeps what came before it in a batch.
    return (NAME, value[:200]) if key == NAME or chance.random() < 0.1 else (key, value)


def _metrics(side: Side, points: list[tuple[Any, ...]]) -> list[Metric]:
    return [
        Metric(*point, model_id=None if model is None else side.models[model])
        for *point, model in points
    ]


def _made(side: Side, name: str | None, tags: list[tuple[str, str]]) -> Any:
    tags_of_run = [RunTag(*tag) for tag in tags]
    # The name of a run that has none is random.
    run = side.store.create_run(side.experiment, "me", 5, tags_of_run, name)
    side.runs.append(run.info.run_id)
    return run


def _model(side: Side) -> None:
    model = side.store.create_logged_model(side.experiment, name="m", source_run_id=side.runs[0])
    side.models.append(model.model_id)


def history(chance: random.Random, length: int) -> Iterator[Call]:
    """Return calls, each with what it is: the same ones for the same chance."""
    runs = models = 0

    def first(name: str) -> Call:
        return "create_run", lambda side: _made(side, name, [])

    yield first("first")
    runs += 1
    for _ in range(length):
        kind = chance.choices(
            ("batch", "metric", "param", "tag", "untag", "update", "create", "model", "other"),
            (40, 10, 10, 10, 5, 8, 5, 2, 30),
        )[0]
        run = chance.randrange(runs + 1)

        def of(side: Side, run: int = run) -> str:
            return side.runs[run] if run < len(side.runs) else "0" * 32

        if kind == "batch":
            points = [_metric(chance, models) for _ in range(chance.choice((0, 1, 2, 12)))]
            params = [_text(chance) for _ in range(chance.choice((0, 0, 1, 3)))]
            tags = [_tag(chance) for _ in range(chance.choice((0, 0, 1, 3)))]
            yield (
                f"log_batch {points} {params} {tags}",
                lambda side, of=of, points=points, params=params, tags=tags: side.store.log_batch(
                    of(side),
                    _metrics(side, points),
                    [Param(*param) for param in params],
                    [RunTag(*tag) for tag in tags],
                ),
            )
        elif kind == "metric":
            point = _metric(chance, models)
            yield (
                f"log_metric {point}",
                lambda side, of=of, point=point: side.store.log_metric(
                    of(side), *_metrics(side, [point])
                ),
            )
        elif kind == "param":
            pair = _text(chance)
            yield (
                f"log_param {pair}",
                lambda side, of=of, pair=pair: side.store.log_param(of(side), Param(*pair)),
            )
        elif kind == "tag":
            pair = _tag(chance)
            yield (
                f"set_tag {pair}",
                lambda side, of=of, pair=pair: side.store.set_tag(of(side), RunTag(*pair)),
            )
        elif kind == "untag":
            key = chance.choice((*KEYS, NAME))
            yield (
                f"delete_tag {key}",
                lambda side, of=of, key=key: side.store.delete_tag(of(side), key),
            )
        elif kind == "update":
            status = chance.choice((None, RunStatus.FINISHED, RunStatus.RUNNING))
            end = chance.choice((None, 0, 7))
            name = chance.choice((None, "", "new", "n" * 251))
            yield (
                f"update_run_info {status} {end} {name}",
                lambda side, of=of, status=status, end=end, name=name: side.store.update_run_info(
                    of(side), status, end, name
                ),
            )
        elif kind == "create":
            name = chance.choice((None, "", "x", "n" * 251))
            tags = [_text(chance) for _ in range(chance.randrange(3))]
            if not name:
                tags.append((NAME, "named"))
            elif chance.random() < 0.3:
                tags.append((NAME, chance.choice((name, "another"))))
            yield (
                f"create_run {name} {tags}",
                lambda side, name=name, tags=tags: _made(side, name, tags),
            )
            runs += 1
        elif kind == "model":
            yield "create_logged_model", _model
            models += 1
        else:
            yield _other(chance, of, models)
        yield f"get_run {run}", lambda side, of=of: side.store.get_run(of(side))


def _other(chance: random.Random, of: Callable[[Side], str], models: int) -> Call:
    what = chance.choices(
        ("delete", "restore", "history", "inputs", "outputs", "search"), (2, 2, 2, 2, 2, 20)
    )[0]
    if what == "search":
        return _search(chance)
    if what == "delete":
        return "delete_run", lambda side: side.store.delete_run(of(side))
    if what == "history":
        key, size = chance.choice(KEYS), chance.choice((None, 1, 2))
        return f"get_metric_history {key} {size}", lambda side: _history(
            side.store, of(side), key, size
        )
    if what == "inputs":
        digest, context = chance.choice("12"), chance.choice(("train", "test"))
        return f"log_inputs {digest} {context}", lambda side: side.store.log_inputs(
            of(side),
            [
                DatasetInput(
                    Dataset("data", digest, "local", "here", schema="s", profile="p"),
                    [InputTag("mlflow.data.context", context)],
                )
            ],
            [LoggedModelInput(side.models[-1])] if models else None,
        )
    if what == "outputs" and models:
        return "log_outputs", lambda side: side.store.log_outputs(
            of(side), [LoggedModelOutput(side.models[-1], 3)]
        )
    return "restore_run", lambda side: side.store.restore_run(of(side))


def _history(store: SqlAlchemyStore, run: str, key: str, size: int | None) -> list[Any]:
    """Return the pages of a metric's points, and the points together with those of no run."""
    pages: list[Any] = []
    token = None
    while not pages or token:
        page = store.get_metric_history(run, key, size, token)
        token = page.token
        pages.append(([*page], token))
    return [pages, store.get_metric_history_bulk([run, "0" * 32], key, 3)]


def _search(chance: random.Random) -> Call:
    """Return a search in the experiment, which has the runs of both sides."""
    filters = " and ".join(_filter(chance) for _ in range(chance.choice((0, 0, 1, 1, 2))))
    order = [_order(chance) for _ in range(chance.choice((0, 0, 1, 1, 2)))]
    view = chance.choice((ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL))
    size = chance.choice((0, 1, 2, 5, 100))

    def search(side: Side) -> Exact:
        pages: list[Any] = []
        token = None
        while not pages or token:
            page = side.store.search_runs([side.experiment], filters, view, size, order, token)
            token = page.token
            pages.append(([_plain(run) for run in page], token))
        return Exact(pages)

    return f"search_runs {filters!r} {order} {view} {size}", search


def _filter(chance: random.Random) -> str:
    key = chance.choice(KEYS)
    text, number = chance.choice(("1", "2", "é", "%", "V%", "nothing")), chance.choice((0, 1, -1.5))
    texts, numbers = ("=", "!=", "LIKE", "ILIKE"), ("=", "!=", "<", ">=")
    return chance.choice(
        (
            f"metrics.`{key}` {chance.choice(numbers)} {number}",
            f"params.`{key}` {chance.choice(texts)} '{text}'",
            f"tags.`{key}` {chance.choice(texts)} '{text}'",
            f"{chance.choice(('metrics', 'params', 'tags'))}.`{key}` IS "
            f"{chance.choice(('', 'NOT '))}NULL",
            f"attributes.run_name {chance.choice(texts)} '{chance.choice(('first', 'n%', 'new'))}'",
            f"attributes.status {chance.choice(texts)} 'FINISHED'",
            f"attributes.end_time {chance.choice(numbers)} 7",
            f"attributes.run_id IN ('{'f' * 32}')",
            "dataset.name LIKE 'd%'",
            f"dataset.digest = '{chance.choice('12')}'",
            f"dataset.context {chance.choice(texts)} '{chance.choice(('train', 'test'))}'",
            f"nothing.`{key}` = 1",
        )
    )


def _order(chance: random.Random) -> str:
    kind = chance.choice(("metrics", "params", "tags", "attributes"))
    key = chance.choice(ATTRIBUTES if kind == "attributes" else KEYS)
    return f"{kind}.`{key}` {chance.choice(('ASC', 'DESC'))}"


def compare(address: str, chance: random.Random, length: int) -> int:
    """Make one history of calls to both stores, and return how many calls were compared.

    Args:
        address: The address of a database that has MLflow's tables.
        chance: Chooses the calls.
        length: How many calls change something.

    Raises:
        AssertionError: if an answer or a row differs.
    """
    store = SqlAlchemyStore(address, FOLDER)
    experiment = store.create_experiment(f"compared-{uuid.uuid4().hex}")
    theirs = Side(store, experiment)
    ours = Side(stores.tracking_store(address, FOLDER), experiment)
    said: list[str] = []
    for name, do in history(chance, length):
        said.append(_short(name))
        runs = len(theirs.runs)
        wanted, found = theirs.call(do), ours.call(do)
        story = "\n".join(said)
        assert found == wanted, f"{story}\nMLflow's: {wanted}\nours:     {found}"
        assert len(theirs.runs) == len(ours.runs), story
        # A run that was refused has no id: later calls must not find one.
        if name.startswith("create_run") and len(theirs.runs) == runs:
            for side in (theirs, ours):
                side.runs.append("f" * 32)
    wanted_rows, found_rows = theirs.rows(), ours.rows()
    for table, rows in wanted_rows.items():
        assert found_rows[table] == rows, f"{table}, after:\n" + "\n".join(said)
    # A garbage collection would remove what stays deleted.
    for side in (theirs, ours):
        for run in side.runs:
            side.call(lambda side, run=run: side.store.restore_run(run))
    return len(said)


def count(address: str) -> dict[str, int]:
    """Return how many statements the server's store takes for each kind of call."""
    store = stores.tracking_store(address, FOLDER)
    side = Side(store, store.create_experiment(f"counted-{uuid.uuid4().hex}"))
    run = _made(side, "counted", [("a", "1")]).info.run_id
    metrics = [Metric(f"m{number}", number, 1, 1) for number in range(1000)]
    params = [Param(f"p{number}", "1") for number in range(100)]
    others = [Param(f"q{number}", "1") for number in range(100)]
    tags = [RunTag(f"t{number}", "1") for number in range(100)]
    calls: dict[str, Callable[[], Any]] = {
        "create_run": lambda: _made(side, "another", [("a", "1")]),
        "1,000 metrics": lambda: store.log_batch(run, metrics, [], []),
        "the same metrics": lambda: store.log_batch(run, metrics, [], []),
        "100 params": lambda: store.log_batch(run, [], params, []),
        "100 tags": lambda: store.log_batch(run, [], [], tags),
        "all of these": lambda: store.log_batch(run, metrics[:800], others, tags),
        "log_metric": lambda: store.log_metric(run, metrics[0]),
        "log_param": lambda: store.log_param(run, Param("another", "1")),
        "set_tag": lambda: store.set_tag(run, RunTag("another", "1")),
        "get_run": lambda: store.get_run(run),
        "update_run_info": lambda: store.update_run_info(run, RunStatus.FINISHED, 5, None),
        "update_run_info with a name": lambda: store.update_run_info(run, None, None, "new"),
        "search_runs": lambda: store.search_runs([side.experiment], None, ViewType.ACTIVE_ONLY),
        "search_runs with a filter and an order": lambda: store.search_runs(
            [side.experiment],
            "params.p1 = '1' and tags.t1 LIKE '1' and metrics.m1 > 0",
            ViewType.ACTIVE_ONLY,
            order_by=["metrics.m2 DESC", "attributes.start_time DESC"],
        ),
        "get_metric_history": lambda: store.get_metric_history(run, "m1"),
    }
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        # MLflow sends three of these with each session on SQLite.
        if not statement.startswith("PRAGMA "):
            statements.append(statement)

    sqlalchemy.event.listen(store.engine, "before_cursor_execute", note)
    try:
        found = {}
        for name, call in calls.items():
            statements.clear()
            call()
            found[name] = len(statements)
    finally:
        sqlalchemy.event.remove(store.engine, "before_cursor_execute", note)
    return found


if __name__ == "__main__":
    address = os.environ["MLFLOW_BACKEND_STORE_URI"]
    seed = int(time.time())
    compared = 0
    for number in range(int(sys.argv[1])):
        # A failure shows the history itself.
        once = random.Random(seed + number)  # noqa: S311 (no secret)
        compared += compare(address, once, 30)
    postgres = address.startswith("postgresql")
    expected = (dict.fromkeys(STATEMENTS, 1) if postgres else STATEMENTS) | SEARCHES
    with sqlalchemy.create_engine(address).connect() as connection:
        missing = indexes.missing(connection)
    report = {"compared": compared, "statements": count(address), "expected": expected}
    print(json.dumps({**report, "missing indexes": missing}))
