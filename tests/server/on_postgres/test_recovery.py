"""Rows that were there at a moment come back, and a later loss does not."""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from conftest import Postgres
from mlflow_kubernetes.backup import archive, manifest, point, save
from mlflow_kubernetes.backup.archive import Archive
from mlflow_kubernetes.backup.manifest import Manifest, UnreadableError
from mlflow_kubernetes.backup.target import Target

T = TypeVar("T")
UNKNOWN_USER = 1000
"""The user of the pods that restore: PostgreSQL's image does not know the user."""


def eventually(found: Callable[[], T], postgres: Postgres) -> T:
    """Return the first true answer within the time that a busy machine takes."""
    deadline = time.monotonic() + 300
    while not (answer := found()):
        assert time.monotonic() < deadline, postgres.said()
        time.sleep(0.2)
    return answer


def moment() -> datetime:
    """Return a moment that differs from what was committed before and is committed after."""
    time.sleep(0.1)
    now = datetime.now(UTC)
    time.sleep(0.1)
    return now


def archived(postgres: Postgres, target: Target) -> None:
    """Archive everything that is committed, as the pod does every 30 s."""
    # The moment that is noted is a second earlier.
    time.sleep(1)
    position = eventually(lambda: archive.received(postgres.watched()), postgres)
    copy = Archive(target, postgres.work / "wal")
    copy.copy()
    copy.note(position)


def backed_up(postgres: Postgres, target: Target) -> Manifest:
    """Make a backup with a base backup, as the Job does."""
    postgres.step("dump")
    postgres.step("base")
    # A backup's name has whole seconds.
    time.sleep(1)
    now = datetime.now(UTC)
    written, _ = save.save(target, postgres.work / "dumps", now, "schedule", with_artifacts=False)
    shutil.rmtree(postgres.work / "dumps")
    return written


def rows(postgres: Postgres, target: Target, when: datetime) -> dict[str, dict[str, int]]:
    """Return how many rows the tables have that a moment brings back."""
    found = point.chosen(target, when)
    for folder in ("point", "recovered"):
        shutil.rmtree(postgres.work / folder, ignore_errors=True)
    point.fetch(target, found, when, postgres.work / "point")
    print(postgres.step("recover", user=UNKNOWN_USER, PGPORT="5432"))
    return {
        name: manifest.facts_of(
            (postgres.work / "recovered" / f"{name}.facts").read_text().splitlines()
        )["rows"]
        for name in found["databases"]
    }


def lose(postgres: Postgres, target: Target) -> datetime:
    """Let the server remove what was not received; return a moment that is lost by that."""
    postgres.end()
    postgres.ask("CREATE TABLE lost (number int)")
    lost = moment()
    for number in range(4):
        postgres.ask(f"INSERT INTO lost VALUES ({number})")  # noqa: S608 (a number)
        postgres.ask("SELECT pg_switch_wal()", "postgres", user="postgres")
        postgres.ask("CHECKPOINT", "postgres", user="postgres")
    postgres.step("receive", wait=False)
    found = eventually(lambda: [*postgres.work.glob(f"wal/*/{archive.GAP}")], postgres)
    Archive(target, postgres.work / "wal").copy()
    assert not found[0].exists()
    eventually(lambda: [*found[0].parent.iterdir()], postgres)
    return lost


def test_a_moment_comes_back_and_what_cannot_is_refused(postgres: Postgres, target: Target) -> None:
    postgres.step("receive", wait=False)
    postgres.ask("CREATE TABLE runs (number int)")
    postgres.ask("CREATE TABLE users (name text)", "mlflow_auth")
    postgres.ask("INSERT INTO runs SELECT generate_series(1, 1000)")
    first = backed_up(postgres, target)
    assert first.get("base", {}).get("databases") == {"runs": "mlflow", "users": "mlflow_auth"}
    postgres.ask("INSERT INTO runs SELECT generate_series(1, 500)")
    postgres.ask("INSERT INTO users VALUES ('alice')", "mlflow_auth")
    good = moment()
    postgres.ask("DROP TABLE runs")
    postgres.ask("DELETE FROM users", "mlflow_auth")
    last = moment()
    archived(postgres, target)

    there = {"runs": {"runs": 1500}, "users": {"users": 1}}
    assert rows(postgres, target, good) == there
    # Nothing was committed after this moment, which the archive knows.
    assert rows(postgres, target, last) == {"runs": {}, "users": {"users": 0}}
    with pytest.raises(UnreadableError, match=r"the WAL archive reaches to .* is later"):
        point.chosen(target, datetime.now(UTC))
    with pytest.raises(UnreadableError, match=f"the oldest is {first['taken']}"):
        point.chosen(target, manifest.moment(first["taken"]) - timedelta(seconds=1))

    # Another pod goes on where the archive ends, although this one's files are gone.
    postgres.end()
    shutil.rmtree(postgres.work / "wal")
    archive.resume(target, postgres.work / "wal")
    postgres.step("receive", wait=False)
    postgres.ask("CREATE TABLE runs AS SELECT generate_series(1, 300000)")
    again = moment()
    postgres.ask("DROP TABLE runs")
    archived(postgres, target)
    assert rows(postgres, target, again)["runs"] == {"runs": 300_000}
    assert rows(postgres, target, good) == there

    # While nobody receives, the server lets go of what comes next.
    second = backed_up(postgres, target)
    archived(postgres, target)
    lost = lose(postgres, target)
    archived(postgres, target)
    with pytest.raises(RuntimeError, match="the WAL archive has a gap"):
        rows(postgres, target, lost)
    assert rows(postgres, target, again)["runs"] == {"runs": 300_000}
    third = backed_up(postgres, target)
    postgres.ask("DROP TABLE lost")
    archived(postgres, target)
    assert rows(postgres, target, manifest.moment(third["taken"]))["runs"] == {"lost": 4}

    for name in (first["taken"], second["taken"]):
        target.remove(name)
    base = third.get("base")
    assert base
    assert point.prune(target, [third["taken"]], 0) > 0
    assert min(point.archived(target.files(f"wal/{base['system']}"))) == base["start"]
