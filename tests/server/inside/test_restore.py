"""Which backup is restored into which databases, and what counts as data that would be lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from conftest import MOST_SECONDS
from mlflow_kubernetes.backup import restore
from mlflow_kubernetes.backup.manifest import Manifest
from mlflow_kubernetes.support import schemas

OLD, NEW = "20261127T010000Z", "20261127T020000Z"
KNOWN = {"alembic_version": {"aa", "bb"}, "alembic_version_auth": {"cc"}}


def manifest(**changed: Any) -> Manifest:
    runs = {
        "engine": "postgresql 18.6",
        "revisions": {"alembic_version": "bb"},
        "rows": {"runs": 3},
    }
    users = {**runs, "revisions": {"alembic_version_auth": "cc"}, "rows": {"users": 2}}
    found: Any = {
        "format": 1,
        "taken": NEW,
        "reason": "schedule",
        "mlflow": "3.17.2",
        "databases": {"runs": runs, "users": users},
        "files": {"runs.dump": {"size": 2000, "sha256": ""}},
        "artifacts": {"files": 7, "bytes": 1_500_000},
    }
    return found | changed


def refusal(chosen: Manifest, **changed: Any) -> str | None:
    given: Any = {
        "engine": "postgresql",
        "version": (18, 6),
        "databases": ["runs", "users"],
        "known": KNOWN,
    }
    return restore.refusal(chosen, **(given | changed))


@pytest.mark.parametrize(
    "changed",
    [{}, {"version": (19, 0)}, {"version": (18, 1)}],
)
def test_a_backup_of_the_same_kind_and_release_is_restored(changed: dict[str, Any]) -> None:
    assert refusal(manifest(), **changed) is None


def test_a_backup_with_users_apart_fits_no_stack_without_a_database_of_users() -> None:
    assert refusal(manifest(), databases=["runs"]) == (
        f"backup {NEW} has a database of users, and the stack has none of its own for users: "
        "set mlflow:authDatabaseUri to another database"
    )
    only_runs = manifest(databases={"runs": manifest()["databases"]["runs"]})
    assert refusal(only_runs) is None
    both = manifest()["databases"]["runs"]
    both = {**both, "revisions": {"alembic_version": "bb", "alembic_version_auth": "cc"}}
    said = refusal(manifest(databases={"runs": both}))
    assert said
    assert said.startswith(f"backup {NEW} has users in the database of runs")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"engine": "mysql", "version": (9, 7)},
            "is of PostgreSQL, and the stack's database is MySQL: expected a database of the same"
            " kind",
        ),
        (
            {"version": (17, 5)},
            "is of PostgreSQL 18.6, and the stack's server is 17.5: expected the same release or a"
            " newer one",
        ),
        (
            {"known": {"alembic_version": {"aa"}}},
            "was made with MLflow 3.17.2, whose schema bb this image does not know: set"
            " mlflow:serverImage to an image of that release or a newer one",
        ),
    ],
)
def test_another_kind_of_backup_is_refused_in_one_line(changed: dict[str, Any], line: str) -> None:
    assert refusal(manifest(), **changed) == f"backup {NEW} {line}"


def test_a_backup_is_asked_for_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    read = {OLD: manifest(taken=OLD), NEW: manifest()}
    assert restore.wanted(OLD, [OLD, NEW], read.__getitem__) == read[OLD]
    for source, backups, line in (
        ("20261126T010000Z", [OLD, NEW], f"the latest are {OLD}, {NEW}"),
        ("latest", [], "opens no finished backup in the target: `make backup` makes one"),
    ):
        with pytest.raises(SystemExit):
            restore.wanted(source, backups, read.__getitem__)
        assert capsys.readouterr().err.strip().endswith(line)


@pytest.mark.parametrize("reason", ["restore", "rollback", "upgrade"])
def test_the_latest_backup_is_none_of_what_another_command_replaced(
    reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    read = {OLD: manifest(taken=OLD), NEW: manifest()}
    assert restore.wanted("latest", [OLD, NEW], read.__getitem__) == read[NEW]
    read[NEW] = manifest(reason=reason)
    assert restore.wanted("latest", [OLD, NEW], read.__getitem__) == read[OLD]
    with pytest.raises(SystemExit):
        restore.wanted("latest", [NEW], read.__getitem__)
    assert "no backup was made by a schedule or by `make backup`" in capsys.readouterr().err


def test_what_later_backups_removed_is_copied_after_the_rest_the_oldest_last() -> None:
    newest = "20261127T030000Z"
    assert restore.folders(OLD, [newest, OLD, NEW]) == [
        "artifacts",
        f"removed/{newest}",
        f"removed/{NEW}",
    ]


def test_backups_are_listed_for_people() -> None:
    first = manifest(taken=OLD, reason="upgrade")
    del first["artifacts"]
    assert restore.table([first, manifest()]).splitlines() == [
        "FROM              reason    MLflow  database         dumps   artifacts",
        f"{NEW}  schedule  3.17.2  postgresql 18.6  2.0 kB  7 files, 1.5 MB",
        f"{OLD}  upgrade   3.17.2  postgresql 18.6  2.0 kB  none",
    ]
    assert "make backup" in restore.table([])


def test_a_new_stack_holds_no_data_and_what_people_made_counts(tmp_path: Path) -> None:
    runs, users = (f"sqlite:///{tmp_path}/{name}.db" for name in ("runs", "users"))
    variables = {
        "MLFLOW_BACKEND_STORE_URI": runs,
        "MLFLOW_AUTH_DATABASE_URI": users,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "key",
    }

    def make(**passwords: str) -> None:
        program = "import json, sys; from mlflow_kubernetes.login import accounts; "
        program += "accounts.make(json.loads(sys.argv[1]))"
        subprocess.run(
            [sys.executable, "-c", program, json.dumps(passwords)],
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
            timeout=MOST_SECONDS,
        )

    def held() -> list[str | None]:
        return [
            restore.held(sqlalchemy.create_engine(uri), schema, ["admin", "workspace"])
            for uri, schema in ((runs, schemas.runs()), (users, schemas.users()))
        ]

    make(admin="a-password-of-12", workspace="a-password-of-12")
    assert held() == [None, None]
    make(alice="a-password-of-12")
    assert held() == ["1 rows in table experiments", "1 rows in table users"]
