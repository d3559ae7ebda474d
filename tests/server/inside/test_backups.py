"""Backups with the real rclone, to a folder that stands for the target's volume."""

import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow_kubernetes import contract
from mlflow_kubernetes.backup import connections, manifest, save, target, verify
from mlflow_kubernetes.backup.manifest import UnreadableError
from mlflow_kubernetes.backup.target import Target, TargetError
from sqlalchemy import make_url

RCLONE = Path(__file__).parents[3] / ".venv" / "bin" / "rclone"
PASSPHRASE = secrets.token_hex(16)
NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)
FACTS = "engine\tpostgresql\t18.6\nrevision\talembic_version\tabc\nrows\truns\t2\nrows\ttags\t0\n"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The artifact store: a folder, by rclone's local backend."""
    folder = tmp_path / "store"
    folder.mkdir()

    def remote(destination: str, _: Mapping[str, str]) -> tuple[dict[str, str | None], str]:
        assert destination == "s3://bucket"
        return {"type": "local"}, f"artifacts:{folder}"

    monkeypatch.setattr(target, "artifacts_remote", remote)
    return folder


@pytest.fixture
def there(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    assert store.is_dir()
    (tmp_path / "volume").mkdir()
    monkeypatch.setenv(contract.BACKUP_STORE, "volume")
    monkeypatch.setenv(contract.BACKUP_PASSPHRASE, PASSPHRASE)
    monkeypatch.setenv(contract.ARTIFACTS_DESTINATION, "s3://bucket")
    monkeypatch.setenv(contract.CRYPTO_PASSPHRASE, "kek-of-the-stack")
    return Target.from_environment(RCLONE, tmp_path / "volume")


def made(there: Target, dumps: Path, when: datetime) -> manifest.Manifest:
    """Make a backup of a dump, as the pod does."""
    dumps.mkdir(exist_ok=True)
    for file in dumps.iterdir():
        file.unlink()
    (dumps / "runs.dump").write_bytes(os.urandom(100_000))
    (dumps / "runs.facts").write_text(FACTS)
    written, copied = save.save(there, dumps, when, "command", with_artifacts=True)
    print(save.summary(written, copied, 1.0))
    return written


def test_a_backup_is_downloaded_as_it_was_uploaded_and_is_nowhere_in_clear(
    there: Target, store: Path, tmp_path: Path
) -> None:
    (store / "1").mkdir()
    (store / "1" / "ü model\n.bin").write_bytes(b"weights")
    written = made(there, tmp_path / "dumps", NOW)
    assert written["databases"] == {
        "runs": {
            "engine": "postgresql 18.6",
            "revisions": {"alembic_version": "abc"},
            "rows": {"runs": 2, "tags": 0},
        }
    }
    assert written.get("artifacts") == {"files": 1, "bytes": 7}
    assert there.backups() == ["20261127T030000Z"]
    again = tmp_path / "again"
    assert there.download("20261127T030000Z", again) == written
    for name in ("runs.dump", "keys.json", "artifacts.jsonl"):
        assert (again / name).read_bytes() == (tmp_path / "dumps" / name).read_bytes()
    assert json.loads((again / "keys.json").read_text()) == {
        "MLFLOW_CRYPTO_KEK_PASSPHRASE": "kek-of-the-stack"
    }
    for file in (tmp_path / "volume").rglob("*"):
        assert not {"runs", "keys", "manifest", "model", "databases"} & {*file.name.split(".")}
        if file.is_file():
            content = file.read_bytes()
            assert b"kek-of-the-stack" not in content
            assert b"weights" not in content


def test_a_damaged_file_and_a_wrong_passphrase_are_told_in_one_line(
    there: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = made(there, tmp_path / "dumps", NOW)["taken"]
    (tmp_path / "dumps" / "runs.dump").write_bytes(b"another")
    there.run("copy", str(tmp_path / "dumps" / "runs.dump"), f"backup:databases/{name}")
    with pytest.raises(UnreadableError, match=r"runs\.dump is not what was saved"):
        there.download(name, tmp_path / "again")
    monkeypatch.setenv(contract.BACKUP_PASSPHRASE, "another-passphrase")
    other = Target.from_environment(RCLONE, tmp_path / "volume")
    assert other.backups() == []
    with pytest.raises(UnreadableError, match=f"there is no finished backup {name}"):
        other.manifest(name)


def test_a_backup_without_a_manifest_is_unfinished(there: Target, tmp_path: Path) -> None:
    name = made(there, tmp_path / "dumps", NOW)["taken"]
    there.run("deletefile", f"backup:databases/{name}/manifest.json")
    assert there.backups() == []
    assert there.unfinished() == [name]


def test_the_next_backup_copies_what_is_new_and_keeps_what_changed(
    there: Target, store: Path, tmp_path: Path
) -> None:
    for name in ("same", "changed", "gone"):
        (store / name).write_text(name)
    first = save.save(there, dumped(tmp_path / "one"), NOW, "command", with_artifacts=True)
    assert first[1] == (3, "")
    (store / "changed").write_text("changed since")
    (store / "gone").unlink()
    (store / "new").write_text("new")
    later = NOW + timedelta(days=1)
    second = save.save(there, dumped(tmp_path / "two"), later, "command", with_artifacts=True)
    assert second[1] == (2, "")
    assert dict(there.list_artifacts()) == {"same": 4, "changed": 13, "new": 3}
    assert there.removals() == ["20261128T030000Z"]
    moved = dict(there.list_artifacts("removed/20261128T030000Z"))
    assert moved == {"changed": 7, "gone": 4}


def dumped(folder: Path) -> Path:
    folder.mkdir()
    (folder / "runs.dump").write_bytes(b"dump")
    (folder / "runs.facts").write_text(FACTS)
    return folder


def test_artifacts_that_cannot_be_copied_leave_a_backup_that_says_so(
    there: Target, store: Path, tmp_path: Path
) -> None:
    store.rmdir()
    written, copied = save.save(
        there, dumped(tmp_path / "one"), NOW, "schedule", with_artifacts=True
    )
    assert "\n" not in copied.problem
    assert "directory not found" in copied.problem
    assert there.manifest(written["taken"])["artifacts"]["problem"] == copied.problem


def test_old_backups_go_and_the_newest_complete_one_stays(
    there: Target, store: Path, tmp_path: Path
) -> None:
    times = [NOW + timedelta(days=day) for day in range(4)]
    for day, when in enumerate(times):
        (store / "log").write_text("x" * day)
        save.save(there, dumped(tmp_path / str(day)), when, "schedule", with_artifacts=True)
    names = there.backups()
    assert there.removals() == names[1:]
    now = times[3] + timedelta(hours=1)
    assert save.prune(there, now, keep=2.5 * 86400) == names[:1]
    # The second backup needs what the third one removed, and nothing older.
    assert there.removals() == names[2:]
    broken = there.manifest(names[3])
    broken["artifacts"]["problem"] = "some are missing"
    there.upload(tmp_path / "3", broken)
    assert save.prune(there, now + timedelta(days=900), keep=86400) == [names[1], names[3]]
    assert there.backups() == [names[2]]
    assert save.prune(there, now + timedelta(days=900), keep=86400) == []


def test_a_verification_reads_artifacts_and_misses_what_is_gone(
    there: Target, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (store / name).write_text(name * 10)
    found = made(there, tmp_path / "dumps", NOW)
    monkeypatch.setattr(verify, "DUMPS", tmp_path / "dumps")
    assert verify._read_artifacts(there, found) == (2, 2)
    monkeypatch.setattr(verify, "MOST_READ", 10)
    assert verify._read_artifacts(there, found) == (1, 2)
    monkeypatch.undo()
    monkeypatch.setattr(verify, "DUMPS", tmp_path / "dumps")
    # One byte of a file in the target.
    largest = max(
        (file for file in (tmp_path / "volume").rglob("*") if file.stat().st_size == 10 + 16 + 32),
        key=lambda file: file.name,
    )
    content = bytearray(largest.read_bytes())
    content[-1] ^= 1
    largest.write_bytes(content)
    with pytest.raises(TargetError, match="authenticate"):
        verify._read_artifacts(there, found)
    there.run("deletefile", "backup:artifacts/a")
    with pytest.raises(UnreadableError, match="artifact a is missing; expected 10 bytes"):
        verify._read_artifacts(there, found)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({contract.BACKUP_STORE: "tape"}, "BACKUP_STORE is 'tape'; expected volume, s3 or artif"),
        ({contract.BACKUP_PASSPHRASE: ""}, "BACKUP_PASSPHRASE is not set"),
        ({contract.BACKUP_STORE: "s3"}, "the backup target has no key"),
    ],
)
@pytest.mark.usefixtures("there")
def test_a_target_that_is_not_described_is_told(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TargetError, match=said):
        Target.from_environment(RCLONE)


def test_the_artifact_store_becomes_a_remote(tmp_path: Path) -> None:
    given = {contract.S3_ENDPOINT_URL: "http://minio:9000", contract.S3_REGION: "here"}
    options, path = target.artifacts_remote("s3://bucket/team/a", given)
    assert path == "artifacts:bucket/team/a"
    assert options["endpoint"] == "http://minio:9000"
    assert options["env_auth"] == "true"
    options, _ = target.artifacts_remote("s3://bucket", {})
    assert (options["provider"], options.get("endpoint")) == ("AWS", None)
    user = {contract.HADOOP_USER: "mlflow"}
    assert target.artifacts_remote("hdfs://names:8020/mlflow", user) == (
        {"type": "hdfs", "namenode": "names:8020", "username": "mlflow"},
        "artifacts:/mlflow",
    )
    (tmp_path / "core-site.xml").write_text(
        "<configuration>"
        "<property><name>dfs.namenode.rpc-address.prod.a</name><value>one:8020</value></property>"
        "<property><name>dfs.namenode.rpc-address.prod.b</name><value>two:8020</value></property>"
        "</configuration>"
    )
    by_name = user | {contract.HADOOP_CONFIGURATION: str(tmp_path)}
    options, _ = target.artifacts_remote("hdfs://prod/ml", by_name)
    assert options["namenode"] == "one:8020,two:8020"
    with pytest.raises(TargetError, match=r"hdfs://other: no property dfs\.namenode\.rpc-addr"):
        target.artifacts_remote("hdfs://other/ml", by_name)
    with pytest.raises(TargetError, match="HDFS with Kerberos"):
        target.artifacts_remote("hdfs://prod/ml", by_name | {contract.KERBEROS: "/krb5.conf"})
    with pytest.raises(TargetError, match="the artifact store is file://"):
        target.artifacts_remote("file:///here", {})


def test_addresses_become_what_the_databases_own_programs_read() -> None:
    postgres = (
        "postgresql+psycopg2://ml:p%40ss%20word@db:5433/{}?sslmode=verify-full&sslrootcert=/ca"
    )
    files = connections.files(
        {"runs": make_url(postgres.format("mlflow")), "users": make_url(postgres.format("users"))}
    )
    assert files["databases"] == "runs\nusers\n"
    assert files["pg_service.conf"].startswith(
        "[runs]\nhost=db\nport=5433\nuser=ml\npassword=p@ss word\ndbname=mlflow\n"
        "sslmode=verify-full\nsslrootcert=/ca\n"
    )
    mysql = "mysql+pymysql://ml:%22a%5C%23@db:3306/{}?charset=utf8mb4&ssl_ca=/ca"
    files = connections.files({"runs": make_url(mysql.format("mlflow"))})
    assert files == {
        "databases": "runs\n",
        "runs.database": "mlflow\n",
        "runs.cnf": '[client]\nhost="db"\nport="3306"\nuser="ml"\npassword="\\"a\\\\#"\n'
        'ssl-ca="/ca"\nssl-mode="VERIFY_IDENTITY"\n',
    }
    lax = connections.files({"runs": make_url(mysql.format("m") + "&ssl_check_hostname=false")})
    assert 'ssl-mode="VERIFY_CA"' in lax["runs.cnf"]
    off = connections.files({"runs": make_url("mysql+pymysql://a@b/c?ssl_disabled=true")})
    assert 'ssl-mode="DISABLED"' in off["runs.cnf"]


def test_two_addresses_of_one_database_are_dumped_once() -> None:
    one = make_url("postgresql+psycopg2://ml:secret@db:5432/mlflow")
    files = connections.files({"runs": one, "users": one.set(username="other")})
    assert files["databases"] == "runs\n"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sqlite:///here", "the databases are sqlite: expected postgresql or mysql"),
        ("postgresql+psycopg2://ml:%20hunter2@db/m", "password begins or ends with a blank"),
    ],
)
def test_an_address_that_cannot_be_written_is_told_without_the_password(
    address: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        connections.files({"runs": make_url(address)})
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert "hunter2" not in line


def test_rows_of_a_mysqldump_are_counted_whatever_is_in_them(tmp_path: Path) -> None:
    dump = tmp_path / "runs.sql"
    dump.write_text(
        "-- Server version\t9.7.1\n"
        "CREATE TABLE `alembic_version` (\n"
        "CREATE TABLE `tags` (\n  `a` varchar(5) DEFAULT '(',\n"
        "CREATE TABLE `empty` (\n"
        "INSERT INTO `alembic_version` VALUES ('abc123');\n"
        "INSERT INTO `tags` VALUES (1,'a),(b'),(2,'it\\'s (\\\\'),(3,'''(');\n"
        "INSERT INTO `tags` VALUES (4,0x28,NULL,1.5e+20);\n"
    )
    assert manifest.facts_of_mysqldump(dump) == {
        "engine": "mysql 9.7.1",
        "revisions": {"alembic_version": "abc123"},
        "rows": {"alembic_version": 1, "empty": 0, "tags": 4},
    }


def test_differences_of_rows_name_the_table() -> None:
    expected = {"runs": 2, "gone": 1}
    assert list(manifest.row_differences(expected, {"runs": 3, "more": 0})) == [
        "table gone has no rows; expected 1",
        "table more has 0 rows; expected none",
        "table runs has 3 rows; expected 2",
    ]
