"""Artifacts in HDFS without Java, for `hdfs` and `viewfs`.

MLflow's own repository needs a JVM, libhdfs and pyarrow, lists uploads that are not complete, and
keeps every upload through the server in /tmp. This repository uses hdfs-native. The libraries below
it read HADOOP_USER_NAME, HADOOP_CONF_DIR, KRB5_CLIENT_KTNAME and KRB5CCNAME.
"""

import asyncio
import functools
import logging
import os
import posixpath
import re
import uuid
from collections.abc import AsyncIterable, Callable, Iterator
from concurrent.futures import Future, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from hdfs_native import Client, FileReader, FileStatus, WriteOptions
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.store.artifact.artifact_repo import (
    ArtifactRepository,
    StreamUploadMixin,
    verify_artifact_path,
)

from mlflow_kubernetes.artifacts.patience import start
from mlflow_kubernetes.artifacts.streams import Artifact, StreamDownloadMixin, piece, transfer
from mlflow_kubernetes.support.no_room import NO_ROOM, failure

T = TypeVar("T")
_logger = logging.getLogger(__name__)

# Size of one piece of a transfer. A transfer has two or three pieces in memory.
CHUNK_SIZE = 2 * 1024 * 1024
# An upload has a name with this prefix until it is complete. No listing shows such a name.
UNFINISHED = ".mlflow-unfinished-"
# Seconds for one step: a call of the NameNode, or one chunk. A silent server is reported then, so
# that a client gets its 503 within ten seconds. MLflow's clients repeat such a request.
PATIENCE = 9.0
# Seconds to wait for the removal of a failed upload, which goes on in its thread.
_DISCARD_SECONDS = 0.5
# Three attempts in about four seconds. The default of hdfs-native is fifteen, which take minutes.
SETTINGS = {
    "dfs.client.failover.max.attempts": "3",
    "dfs.client.failover.sleep.base.millis": "500",
    "dfs.client.failover.sleep.max.millis": "2000",
}
# HDFS reports a path below a file by one of two exceptions, because it checks the rights first.
_BELOW_A_FILE = "(is not a directory)"
# How the NameNode says that it finds no DataNode for a block (BlockManager.chooseTarget4NewBlock).
_NO_DATANODE = re.compile(r"could only be written to \d+ of the \d+ minReplication nodes")
# It names no reason. A DataNode that runs, and that the client did not exclude, lacks room.
_FULL = re.compile(r"There are [1-9]\d* datanode\(s\) running and (?:no|0) node\(s\) are excluded")
# How hdfs-native begins the message of what passes: a DataNode ends in the middle of a transfer, a
# connection breaks, or Kerberos gives no ticket while its servers are down.
_PASSING = tuple(
    f"{kind}("
    for kind in (
        "BlocksNotFound",
        "DataTransferError",
        "GSSAPIError",
        "InternalError",
        "OperationFailed",
    )
)
_CODES = {
    "AccessControlException": PERMISSION_DENIED,
    "DSQuotaExceededException": NO_ROOM,
    "FileAlreadyExistsException": INVALID_PARAMETER_VALUE,
    "HadoopIllegalArgumentException": INVALID_PARAMETER_VALUE,
    "InvalidPathException": INVALID_PARAMETER_VALUE,
    "NSQuotaExceededException": NO_ROOM,
    "PathComponentTooLongException": INVALID_PARAMETER_VALUE,
    "RetriableException": TEMPORARILY_UNAVAILABLE,
    "SafeModeException": TEMPORARILY_UNAVAILABLE,
    "StandbyException": TEMPORARILY_UNAVAILABLE,
}


class HdfsArtifactRepository(ArtifactRepository, StreamUploadMixin, StreamDownloadMixin):
    """Artifacts under one folder of an HDFS."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        # HDFS does not read the address as a URL: `%` and `#` are ordinary characters.
        parts = re.fullmatch(r"(hdfs|viewfs):(?://([^/]*))?(/.*)?", artifact_uri)
        if not parts:
            raise MlflowException.invalid_parameter_value(
                f"{artifact_uri!r}: expected hdfs://<host>:<port>/<folder>"
            )
        # Without a host, the client finds the server in the HDFS configuration.
        self._server = f"{parts[1]}://{parts[2]}" if parts[2] else None
        self._shown = self._server or f"{parts[1]}://"
        self._root = _normal(parts[3] or "/")

    @property
    def max_workers(self) -> int:
        """Files that are stored or fetched at once. Most of the time, a transfer waits for HDFS:
        closing a file takes half a second."""
        return 16

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Store one local file."""
        with Path(local_file).open("rb") as content:
            self.log_artifact_from_stream(content, Path(local_file).name, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Store a local folder with all that is in it, empty folders too."""
        verify_artifact_path(artifact_path)
        jobs: list[tuple[Path, str | None]] = []
        for folder, _, files in os.walk(local_dir):
            inside = Path(folder).relative_to(local_dir).as_posix()
            target = posixpath.normpath(posixpath.join(artifact_path or "", inside))
            path = self._path(target)
            self._ask("make", path, self._client.mkdirs, path, 0o755, True)
            jobs += [(Path(folder, file), None if target == "." else target) for file in files]
        for _ in self.thread_pool.map(lambda job: self.log_artifact(*job), jobs):
            pass  # the first failure is raised, and jobs that have not begun are cancelled

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Store what a blocking stream yields."""
        upload = self._upload(artifact_file_name, artifact_path)
        with transfer():
            try:
                self._ask("store", upload.target, upload.open)
                while chunk := stream.read(piece(CHUNK_SIZE)):
                    self._ask("store", upload.target, upload.write, chunk)
                self._ask("store", upload.target, upload.publish)
            except BaseException:
                _discard(upload)
                raise

    async def log_artifact_from_async_stream(
        self,
        chunks: AsyncIterable[bytes],
        artifact_file_name: str,
        artifact_path: str | None = None,
    ) -> None:
        """Store what an async stream yields, and send each chunk while the next one arrives."""
        upload = self._upload(artifact_file_name, artifact_path)
        with transfer():
            kept = bytearray()
            step = start(upload.open)
            try:
                async for chunk in chunks:
                    kept += chunk
                    if len(kept) >= piece(CHUNK_SIZE):
                        await self._await("store", upload.target, step)
                        step, kept = start(upload.write, kept), bytearray()
                for last in (functools.partial(upload.write, kept), upload.publish):
                    await self._await("store", upload.target, step)
                    step = start(last)
                await self._await("store", upload.target, step)
            except BaseException:
                await asyncio.wrap_future(start(_discard, upload, step))
                raise

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Return the entries of the folder; none if the path is a file or does not exist."""
        folder = self._path(path)
        entries = self._ask("list", folder, _entries, self._client, folder)
        named = sorted((posixpath.basename(entry.path), entry) for entry in entries)
        return [
            FileInfo(
                posixpath.relpath(posixpath.join(folder, name), self._root),
                entry.isdir,
                None if entry.isdir else entry.length,
            )
            for name, entry in named
            if not name.startswith(UNFINISHED)
        ]

    def find_artifact(self, path: str) -> Artifact:
        """Return size and version of a file."""
        source = self._path(path)
        return self._ask("read", source, _artifact, self._client, source)

    def open_artifact(self, path: str) -> tuple[Artifact, Iterator[bytes]]:
        """Return size and version of a file, and its content."""
        artifact = self.find_artifact(path)
        return artifact, self.open_part(path, artifact, 0, artifact.size)

    def open_part(self, path: str, artifact: Artifact, start: int, stop: int) -> Iterator[bytes]:
        """Return a part of the content of a file that was found before."""
        source = self._path(path)
        reader = self._ask("read", source, self._client.read, source)
        if self.find_artifact(path) != artifact:
            raise MlflowException(
                f"Cannot read {self._shown}{source}: it has just been replaced",
                error_code=TEMPORARILY_UNAVAILABLE,
            )
        reader.seek(start)
        return self._chunks(source, reader, stop - start)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file, or a folder with all that is in it."""
        path = self._path(artifact_path)
        self._ask("delete", path, self._client.delete, path, True)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        _, chunks = self.open_artifact(remote_file_path)
        with Path(local_path).open("wb") as content:
            for chunk in chunks:
                content.write(chunk)

    def _is_directory(self, artifact_path: str | None) -> bool:
        path = self._path(artifact_path)
        return self._ask("look at", path, _is_folder, self._client, path)

    def _chunks(self, source: str, reader: FileReader, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._ask("read", source, reader.read, min(size, piece(CHUNK_SIZE)))
            if not chunk:
                raise MlflowException(
                    f"Cannot read {self._shown}{source}: it ends too early",
                    error_code=TEMPORARILY_UNAVAILABLE,
                )
            size -= len(chunk)
            yield chunk

    def _upload(self, file_name: str, artifact_path: str | None) -> "_Upload":
        verify_artifact_path(artifact_path)
        name = posixpath.basename(file_name)
        if not name or name.startswith(UNFINISHED):
            raise MlflowException.invalid_parameter_value(
                f"Invalid artifact file name: {file_name!r}"
            )
        return _Upload(self._client, self._path(posixpath.join(artifact_path or "", name)))

    def _path(self, path: str | None) -> str:
        full = _normal(posixpath.join(self._root, path or ""))
        if posixpath.commonpath((full, self._root)) != self._root:
            raise MlflowException.invalid_parameter_value(f"Invalid artifact path: {path!r}")
        return full

    @property
    def _client(self) -> Client:
        try:
            return _client(self._server, os.getpid())
        except Exception as error:
            raise self._failure("reach", "", error) from error

    def _ask(self, action: str, path: str, call: Callable[..., T], *arguments: Any) -> T:
        try:
            return start(call, *arguments).result(PATIENCE)
        except Exception as error:
            raise self._failure(action, path, error) from error

    async def _await(self, action: str, path: str, answer: "Future[T]") -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), PATIENCE)
        except Exception as error:
            raise self._failure(action, path, error) from error

    def _failure(self, action: str, path: str, error: Exception) -> MlflowException:
        if isinstance(error, TimeoutError):
            _client.cache_clear()  # the connection of the cached client may be dead
        code, reason = told(error)
        if code == NO_ROOM:
            place = f"{self._shown}{path}"
            return failure("the artifact store", f"cannot {action} {place}: {reason}")
        return MlflowException(f"Cannot {action} {self._shown}{path}: {reason}", error_code=code)


class _Upload:
    """One file: it appears when all of it has arrived, and not at all otherwise."""

    def __init__(self, client: Client, target: str) -> None:
        self.target = target
        self.unfinished = posixpath.join(
            posixpath.dirname(target), f"{UNFINISHED}{uuid.uuid4().hex}"
        )
        self._client = client
        # A FileWriter, once open() was called.
        self._writer: Any = None

    def open(self) -> None:
        """Create the unfinished file beside the target; the target does not change."""
        if _is_folder(self._client, self.target):
            raise IsADirectoryError("there is a folder of this name")
        self._writer = self._client.create(self.unfinished, WriteOptions())

    def write(self, chunk: bytes | bytearray) -> None:
        """Send a chunk."""
        self._writer.write(chunk)

    def publish(self) -> None:
        """Replace the target by the unfinished file."""
        self._writer.close()
        self._client.rename(self.unfinished, self.target, overwrite=True)

    def discard(self) -> None:
        """Remove the unfinished file."""
        if self._writer is not None:
            self._client.delete(self.unfinished)


def _discard(upload: _Upload, *under_way: "Future[Any]") -> None:
    # The caller reports the failure of the upload. A failure here must not hide or delay it.
    wait(under_way, timeout=_DISCARD_SECONDS)
    done, _ = wait([start(upload.discard)], timeout=_DISCARD_SECONDS)
    if not done or done.pop().exception():
        _logger.warning("Cannot remove the unfinished %s", upload.unfinished)


@functools.cache
def _client(server: str | None, process: int) -> Client:  # noqa: ARG001 (threads do not survive a fork)
    return Client(server, SETTINGS)


def _artifact(client: Client, path: str) -> Artifact:
    try:
        found = client.get_file_info(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"File does not exist: {path}") from None
    if found.isdir:
        raise FileNotFoundError(f"Path is not a file: {path}")
    stored = datetime.fromtimestamp(found.modification_time // 1000, UTC)
    return Artifact(found.length, f"{found.modification_time:x}-{found.length:x}", stored)


def _entries(client: Client, folder: str) -> list[FileStatus]:
    return list(client.list_status(folder)) if _is_folder(client, folder) else []


def _is_folder(client: Client, path: str) -> bool:
    try:
        return bool(client.get_file_info(path).isdir)
    except (FileNotFoundError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _BELOW_A_FILE not in str(error):
            raise
        return False


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def told(error: Exception) -> tuple[int, str]:
    """Return MLflow's error code for an error of HDFS, and its message without Java's stack."""
    # hdfs-native gives most answers as Rust shows them: RPCError("<class>", "<text>").
    parts = re.fullmatch(r'\w+\((?:"([\w.$]+)", |Gss.*, )?"(.*)"\)', str(error), re.DOTALL)
    text = parts[2].replace(r"\n", "\n").replace(r"\t", "\t") if parts else str(error)
    reason = " ".join(text.partition("\n\tat ")[0].split())
    java_class = re.split(r"[.$]", parts[1])[-1] if parts and parts[1] else None
    if isinstance(error, FileNotFoundError) and reason.startswith("/"):
        reason = "no such file"
    return _code(error, java_class, reason), reason or f"no answer within {PATIENCE:.0f} s"


def _code(error: Exception, java_class: str | None, reason: str) -> int:
    if reason.endswith(_BELOW_A_FILE):
        return INVALID_PARAMETER_VALUE
    if _NO_DATANODE.search(reason):
        return NO_ROOM if _FULL.search(reason) else TEMPORARILY_UNAVAILABLE
    if java_class:
        return _CODES.get(java_class, INTERNAL_ERROR)
    if isinstance(error, FileNotFoundError):
        return RESOURCE_DOES_NOT_EXIST
    if isinstance(error, FileExistsError | IsADirectoryError):
        return INVALID_PARAMETER_VALUE
    passing = isinstance(error, OSError) or str(error).startswith(_PASSING)
    return TEMPORARILY_UNAVAILABLE if passing else INTERNAL_ERROR
