"""The backup target, by rclone: everything in it is encrypted with the target's passphrase.

    databases/<stamp>/   a backup: dumps, keys.json, manifest.json
    artifacts/           a copy of the artifact store, which every backup adds to
    removed/<stamp>/     what was in artifacts/ until the backup <stamp> changed or removed it
    wal/<system>/        PostgreSQL's write-ahead log since the base backups (point.py)

rclone reads its remotes from variables, and never from a file or an argument.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit
from xml.etree import ElementTree

import certifi

from mlflow_kubernetes import contract
from mlflow_kubernetes.backup import manifest
from mlflow_kubernetes.backup.manifest import MANIFEST, Manifest, UnreadableError
from mlflow_kubernetes.support.environment import one_line

RCLONE = Path("/work/rclone")
VOLUME = Path("/backup")
DATABASES = "databases"
ARTIFACTS = "artifacts"
REMOVED = "removed"
OWN_FOLDER = ".mlflow-backups"
"""Folder of the artifact store that is the target where the target is the artifact store."""
# rclone's exit codes for a folder and for a file that are not there.
_MISSING = (3, 4)
_OPTIONS = (
    # Remotes are in variables, and no file is asked for.
    "--config=",
    "--cache-dir=/tmp/rclone",
    "--use-json-log",
    "--log-level=ERROR",
    "--stats=0",
    "--contimeout=15s",
    "--retries=2",
    "--low-level-retries=5",
    # An object's time is asked for one by one: 16 at once take 10,000 objects in seconds.
    "--checkers=16",
    # Each holds pieces of a file in memory: 4 of 5 MiB on their way to a bucket, and what is read.
    "--transfers=4",
    "--buffer-size=8Mi",
)


class TargetError(Exception):
    """The target, or the artifact store, does not do what it is asked to; the text is one line."""


class Copied(NamedTuple):
    """What a copy of artifacts did."""

    files: int
    """Number of files that were copied, because they were new or had changed."""
    problem: str = ""
    """Why some files were not copied; empty if all were."""


@dataclass(frozen=True)
class Target:
    """A backup target, and the artifact store that is copied to it."""

    rclone: Path
    """The program."""
    variables: Mapping[str, str]
    """Environment of rclone, with the remotes `backup:` (encrypted), `target:` and `artifacts:`."""
    artifacts: str = ""
    """The artifact store as a path of rclone, such as `artifacts:bucket`; empty if unknown."""
    no_artifacts: str = "the pod has no artifact store"
    """Why the artifact store is unknown, in one line."""

    @classmethod
    def from_environment(cls, rclone: Path = RCLONE, volume: Path = VOLUME) -> Self:
        """Return the target and the artifact store that this pod's variables name.

        Raises:
            TargetError: if a variable is missing or wrong.
        """
        given = os.environ
        remotes: dict[str, str] = {}
        artifacts, reason = "", cls.no_artifacts
        if destination := given.get(contract.ARTIFACTS_DESTINATION):
            try:
                found, artifacts = artifacts_remote(destination, given)
                remotes |= _remote("artifacts", found)
            except TargetError as error:
                # Databases are saved and restored without the artifact store.
                reason = str(error)
        match given.get(contract.BACKUP_STORE, ""):
            case "volume":
                place = str(volume)
            case "s3":
                remotes |= _remote("target", _bucket(given))
                parts = (given.get(contract.BACKUP_BUCKET), given.get(contract.BACKUP_PREFIX))
                place = "target:" + "/".join(part for part in parts if part)
            case "artifacts":
                if not artifacts:
                    raise TargetError(reason)
                place = f"{artifacts}/{OWN_FOLDER}"
            case other:
                raise TargetError(
                    f"{contract.BACKUP_STORE} is {other!r}; expected volume, s3 or artifacts"
                )
        # rclone reads the certificates of one file alone.
        authorities = [certifi.where(), given.get(contract.S3_CA), given.get(contract.BACKUP_CA)]
        # The AWS library in rclone refuses a file of its own beside rclone's.
        kept = {key: value for key, value in given.items() if key != contract.S3_CA}
        variables = {
            **kept,
            **remotes,
            "RCLONE_CA_CERT": _joined(authorities),
        }
        passphrase = given.get(contract.BACKUP_PASSPHRASE, "")
        if not passphrase:
            raise TargetError(f"{contract.BACKUP_PASSPHRASE} is not set")
        secret = _run(rclone, variables, ["obscure", "-"], stdin=passphrase).strip()
        crypt = {
            "type": "crypt",
            "remote": place,
            "password": secret,
            # Letters of both cases leave room for names of 175 bytes; base32 leaves 143.
            "filename_encoding": "base64",
        }
        return cls(rclone, {**variables, **_remote("backup", crypt)}, artifacts, reason)

    def backups(self) -> list[str]:
        """Return the names of the finished backups, the oldest first."""
        found = self._lines("lsf", "--recursive", "--files-only", f"backup:{DATABASES}")
        return sorted(name.partition("/")[0] for name in found if name.endswith(f"/{MANIFEST}"))

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of a finished backup.

        Raises:
            UnreadableError: if there is no such backup, or its manifest is damaged.
        """
        try:
            text = self.run("cat", f"backup:{DATABASES}/{name}/{MANIFEST}")
        except _MissingError:
            raise UnreadableError(f"there is no finished backup {name}") from None
        return manifest.read(text, name)

    def upload(self, folder: Path, written: Manifest) -> None:
        """Write the files of a folder as a backup, the manifest last."""
        name = written["taken"]
        place = f"backup:{DATABASES}/{name}"
        self.run("copy", f"--exclude=/{MANIFEST}", str(folder), place)
        self.run("rcat", f"{place}/{MANIFEST}", stdin=json.dumps(written, indent=1))

    def download(self, name: str, folder: Path, *, without: Collection[str] = ()) -> Manifest:
        """Write the files of a finished backup to a folder, and return its manifest.

        Args:
            name: the backup.
            folder: receives the files.
            without: names of files that stay in the target.

        Raises:
            UnreadableError: if a file is not as the manifest says.
        """
        expected = self.manifest(name)
        left = [f"--exclude=/{file}" for file in (MANIFEST, *without)]
        self.run("copy", *left, f"backup:{DATABASES}/{name}", str(folder))
        for difference in manifest.differences(folder, expected, without):
            raise UnreadableError(f"backup {name}: {difference}")
        return expected

    def files(self, place: str) -> list[str]:
        """Return the names of the files in a folder of the target; none where there is none."""
        return self._lines("lsf", "--files-only", f"backup:{place}")

    def folders(self, place: str) -> list[str]:
        """Return the names of the folders in a folder of the target, in order."""
        return sorted(
            name.rstrip("/") for name in self._lines("lsf", "--dirs-only", f"backup:{place}")
        )

    def put_artifacts(self, places: Iterable[str], *, missing: bool = False) -> dict[str, int]:
        """Copy folders of the target to the artifact store, one after the other.

        Other files of the store stay: no record of a restored database refers to them.

        Args:
            places: the folders, such as `artifacts`; one that is not there is left out.
            missing: whether files that the store has stay as they are, too.

        Returns:
            The size in bytes of each file of the store, by its path.

        Raises:
            TargetError: if a file cannot be copied, or the store is unknown.
        """
        if not self.artifacts:
            raise TargetError(self.no_artifacts)
        for place in places:
            try:
                only = ["--ignore-existing"] if missing else []
                self.run("copy", *only, f"backup:{place}", self.artifacts)
            except _MissingError:
                continue  # no artifact was ever copied
        return dict(self._files(self.artifacts, f"--exclude=/{OWN_FOLDER}/**"))

    def remove(self, name: str) -> None:
        """Remove a backup: its manifest first, so that what is cut short is an unfinished one."""
        place = f"backup:{DATABASES}/{name}"
        if self._lines("lsf", f"{place}/{MANIFEST}"):
            self.run("deletefile", f"{place}/{MANIFEST}")
        self.run("purge", place)

    def unfinished(self) -> list[str]:
        """Return the names of backups without a manifest."""
        return sorted({*self.folders(DATABASES)} - {*self.backups()})

    def copy_artifacts(self, name: str) -> Copied:
        """Bring the copy of the artifact store up to date.

        What has changed or vanished in the store moves to `removed/<name>/`.

        Args:
            name: the backup that is being made.
        """
        if not self.artifacts:
            return Copied(0, self.no_artifacts)
        log: list[str] = []
        problem = ""
        try:
            _run(
                self.rclone,
                self.variables,
                [
                    *("sync", "--log-level=NOTICE", "--stats=24h", "--stats-log-level=NOTICE"),
                    f"--backup-dir=backup:{REMOVED}/{name}",
                    # The target may be in the store.
                    f"--exclude=/{OWN_FOLDER}/**",
                    *(self.artifacts, f"backup:{ARTIFACTS}"),
                ],
                log=log,
            )
        except TargetError as error:
            problem = str(error)
        stats = [entry["stats"] for entry in _entries("".join(log)) if "stats" in entry]
        return Copied(int(stats[-1]["transfers"]) if stats else 0, problem)

    def list_artifacts(self, *places: str) -> Iterator[tuple[str, int]]:
        """Yield the path and the size in bytes of each file in folders of the target.

        Args:
            places: the folders, such as `removed/20261127T030000Z`; the copy of the artifact store
                if there is none.
        """
        for place in places or (ARTIFACTS,):
            yield from self._files(f"backup:{place}")

    def _files(self, place: str, *options: str) -> Iterator[tuple[str, int]]:
        """Yield the path and the size in bytes of each file in a place of rclone."""
        listing = ("lsjson", "--recursive", "--files-only", "--no-modtime", "--no-mimetype")
        # An object a line, so that a million of them are never in memory at once.
        for line in self._lines(*listing, *options, place):
            if text := line.strip("[], "):
                file = json.loads(text)
                yield file["Path"], file["Size"]

    def read_artifacts(self, paths: Iterable[str]) -> int:
        """Read files of the copy of the artifact store, and return how many were read.

        Each piece of an encrypted file is authenticated: rclone reads no byte that has changed.

        Raises:
            TargetError: if a file cannot be read.
        """
        with tempfile.NamedTemporaryFile("w", errors="surrogateescape") as chosen:
            chosen.write("".join(f"{path}\n" for path in paths))
            chosen.flush()
            read = self.run(
                *("hashsum", "sha256", "--download", "--files-from-raw", chosen.name),
                f"backup:{ARTIFACTS}",
            )
        return len(read.splitlines())

    def removals(self) -> list[str]:
        """Return the names of the backups that moved files to `removed/`."""
        return self.folders(REMOVED)

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run rclone, and return what it prints.

        Raises:
            TargetError: if it fails.
        """
        return _run(self.rclone, self.variables, arguments, stdin=stdin)

    def _lines(self, *arguments: str) -> list[str]:
        """Return the lines that rclone prints; none where the folder is not there."""
        try:
            return self.run(*arguments).splitlines()
        except _MissingError:
            return []


class _MissingError(TargetError):
    """A file or folder is not there."""


def _run(
    rclone: Path,
    variables: Mapping[str, str],
    arguments: Sequence[str],
    *,
    stdin: str = "",
    log: list[str] | None = None,
) -> str:
    """Run rclone, and return what it prints; ``log`` receives what it logs, as JSON lines."""
    try:
        done = subprocess.run(
            [rclone, *_OPTIONS, *arguments],
            env=variables,
            input=stdin,
            text=True,
            errors="surrogateescape",
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise TargetError(f"rclone does not start: {error.strerror}") from None
    if log is not None:
        log.append(done.stderr)
    if done.returncode:
        reason = _reason(done.stderr) or f"rclone {arguments[0]} ended with {done.returncode}"
        raise (_MissingError if done.returncode in _MISSING else TargetError)(reason)
    return done.stdout


def _reason(log: str) -> str:
    """Return rclone's first error in one line: later ones say how many there were."""
    said = [entry["msg"] for entry in _entries(log) if entry.get("level") in ("error", "critical")]
    other = [line for line in log.splitlines() if not line.startswith("{")]
    return one_line((said or other or [""])[0])


def _entries(log: str) -> Iterator[dict[str, Any]]:
    for line in log.splitlines():
        if line.startswith("{"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            about = entry.get("object")
            yield entry | ({"msg": f"{about}: {entry['msg']}"} if about else {})


def _remote(name: str, options: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables from which rclone reads a remote."""
    return {f"RCLONE_CONFIG_{name}_{key}".upper(): value for key, value in options.items() if value}


def artifacts_remote(
    destination: str, given: Mapping[str, str]
) -> tuple[dict[str, str | None], str]:
    """Return the artifact store as a remote of rclone, and its folder there.

    Args:
        destination: address of the store, as MLflow reads it.
        given: variables of the store's client.

    Raises:
        TargetError: if rclone has no way to such a store.
    """
    parts = urlsplit(destination)
    folder = parts.path.strip("/")
    if parts.scheme == "s3":
        options = _s3(given.get(contract.S3_ENDPOINT_URL), given.get(contract.S3_REGION))
        path = "/".join(part for part in (parts.netloc, folder) if part)
        return {**options, "env_auth": "true"}, f"artifacts:{path}"
    if parts.scheme == "hdfs":
        if given.get(contract.KERBEROS):
            raise TargetError(
                "the artifact store is an HDFS with Kerberos, which is not copied to backups"
            )
        names = parts.netloc if parts.port else _name_nodes(parts.netloc, given)
        user = given.get(contract.HADOOP_USER)
        return {"type": "hdfs", "namenode": names, "username": user}, f"artifacts:/{folder}"
    raise TargetError(f"the artifact store is {parts.scheme}://; expected s3:// or hdfs://")


def _name_nodes(nameservice: str, given: Mapping[str, str]) -> str:
    """Return the addresses of a nameservice's NameNodes, as rclone reads them."""
    file = Path(given.get(contract.HADOOP_CONFIGURATION, "/")) / "core-site.xml"
    try:
        properties = [*ElementTree.parse(file).getroot().iter("property")]  # noqa: S314 (ours)
    except (OSError, ElementTree.ParseError):
        properties = []
    prefix = f"dfs.namenode.rpc-address.{nameservice}"
    found = [
        one.findtext("value", "")
        for one in properties
        if one.findtext("name", "").startswith(prefix)
    ]
    if not found:
        raise TargetError(f"hdfs://{nameservice}: no property {prefix} names its NameNodes")
    return ",".join(found)


def _bucket(given: Mapping[str, str]) -> dict[str, str | None]:
    """Return the bucket that is the target, as a remote of rclone."""
    options = _s3(given.get(contract.BACKUP_ENDPOINT), given.get(contract.BACKUP_REGION))
    key, secret = given.get(contract.BACKUP_KEY), given.get(contract.BACKUP_SECRET)
    if not key or not secret:
        raise TargetError("the backup target has no key: AWS_ACCESS_KEY_ID is not in its Secret")
    return {**options, "access_key_id": key, "secret_access_key": secret}


def _s3(endpoint: str | None, region: str | None) -> dict[str, str | None]:
    options: dict[str, str | None] = {"type": "s3", "region": region, "no_check_bucket": "true"}
    if not endpoint:
        return {**options, "provider": "AWS"}
    # What every server of today understands; rclone asks servers that it does not know for less.
    return {
        **options,
        "provider": "Other",
        "endpoint": endpoint,
        "force_path_style": "true",
        "list_version": "2",
        "list_url_encode": "true",
    }


def _joined(files: Iterable[str | None]) -> str:
    """Return a file with the content of all these files."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as joined:
        for file in filter(None, files):
            joined.write(Path(file).read_text() + "\n")
    return joined.name
