"""Artifacts in S3, which clients reach through the tracking server alone.

MLflow's own S3 repository offers clients presigned URLs. Such a URL has the store's address, which
only pods can resolve, so that a client outside of the cluster retries for minutes. This repository
offers no URL. It stores and reads artifacts in pieces, so that no large artifact is kept in /tmp.
It goes on with a download that the store broke off.
"""

import asyncio
import logging
import posixpath
from collections.abc import AsyncIterable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from mimetypes import guess_type
from typing import Any, BinaryIO

import boto3  # noqa: F401 (before the workers fork; MLflow imports it in each of them)
from botocore.exceptions import BotoCoreError, ClientError
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.store.artifact.artifact_repo import (
    ARTIFACT_STREAM_CHUNK_SIZE,
    ArtifactRepository,
    StreamUploadMixin,
)
from mlflow.store.artifact.s3_artifact_repo import BOTO_TO_MLFLOW_ERROR, S3ArtifactRepository

from mlflow_kubernetes.artifacts.patience import SilentError, answered
from mlflow_kubernetes.artifacts.spool import Spool
from mlflow_kubernetes.artifacts.streams import Artifact, StreamDownloadMixin, piece, transfer
from mlflow_kubernetes.support import no_room

# Bytes of one part. An upload keeps two parts, in memory or in /tmp. S3 takes 10,000 parts: 160 GB.
PART_SIZE = 16 * 1024 * 1024
# Threads of one worker that send parts to the store. When all are busy, further parts wait in /tmp,
# and their clients wait.
_SENDERS = ThreadPoolExecutor(8, "upload")

# Codes with which S3 and MinIO refuse a key that is too long, or below another object. The
# client gets a 400, because it repeats a request for minutes after a 500.
_REFUSED = frozenset(
    {
        "InvalidURI",
        "KeyTooLongError",
        "XMinioInvalidObjectName",
        "XMinioObjectExistsAsDirectory",
        "XMinioParentIsObject",
    }
)
# How MinIO and others refuse to store more.
_FULL = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"})

_logger = logging.getLogger(__name__)


class ProxiedS3ArtifactRepository(ArtifactRepository, StreamUploadMixin, StreamDownloadMixin):
    """S3 artifacts that are read and written by the server only."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._s3 = S3ArtifactRepository(
            artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri
        )

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Store one local file."""
        with _told_in_one_line(f"store {local_file}"):
            self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Store a local folder."""
        with _told_in_one_line(f"store {local_dir}"):
            self._s3.log_artifacts(local_dir, artifact_path)

    def upload_archived_trace_data_bytes(self, data: bytes) -> None:
        """Store a trace that leaves the database."""
        self._s3.upload_archived_trace_data_bytes(data)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Return what is directly under the path."""
        with _told_in_one_line(f"list {path or self.artifact_uri}"):
            return answered(self._alive, self._s3.list_artifacts, path)

    def find_artifact(self, path: str) -> Artifact:
        """Return size and version of an object."""
        key, options = self._object(path)
        with _told_in_one_line(f"read {key}"):
            return _artifact(_find(self._s3._get_s3_client(), "head_object", options))

    def open_artifact(self, path: str) -> tuple[Artifact, Iterator[bytes]]:
        """Return size and version of an object, and its content."""
        key, options = self._object(path)
        with _told_in_one_line(f"read {key}"):
            answer = _find(self._s3._get_s3_client(), "get_object", options)
        artifact = _artifact(answer)
        return artifact, self._chunks(answer, path, artifact, 0, artifact.size)

    def open_part(self, path: str, artifact: Artifact, start: int, stop: int) -> Iterator[bytes]:
        """Return a part of the content of an object that was found before."""
        answer = self._open_span(path, artifact, start, stop)
        return self._chunks(answer, path, artifact, start, stop)

    def _open_span(self, path: str, artifact: Artifact, start: int, stop: int) -> dict[str, Any]:
        key, options = self._object(path)
        options |= {"Range": f"bytes={start}-{stop - 1}", "IfMatch": f'"{artifact.tag}"'}
        with _told_in_one_line(f"read {key}"):
            found: dict[str, Any] = _find(self._s3._get_s3_client(), "get_object", options)
            return found

    def _chunks(
        self, answer: dict[str, Any], path: str, artifact: Artifact, start: int, stop: int
    ) -> Iterator[bytes]:
        """Yield the bytes of an answer, from ``start`` to before ``stop``.

        A store may break off an answer: MinIO does when its reader takes nothing for 30 s
        (`DefaultIdleTimeout`), and when a server ends. The rest is then asked for again, unless
        nothing has come since the last time.
        """
        at, broke_off = start, -1
        while True:
            try:
                # As a context, the body is the raw stream, which does not compare the length.
                with closing(answer["Body"]) as body:
                    while chunk := body.read(piece(ARTIFACT_STREAM_CHUNK_SIZE)):
                        at += len(chunk)
                        yield chunk
                return
            except BotoCoreError as error:
                if at == broke_off:
                    raise
                _logger.info("The store broke off %s at byte %d: %s", path, at, error)
            broke_off = at
            answer = self._open_span(path, artifact, at, stop)

    def _alive(self) -> None:
        bucket, _ = self._s3.parse_s3_compliant_uri(self.artifact_uri)
        _answers(self._s3._get_s3_client(), bucket)

    def _object(self, path: str) -> tuple[str, dict[str, Any]]:
        bucket, root = self._s3.parse_s3_compliant_uri(self.artifact_uri)
        key = posixpath.join(root, path)
        return key, {"Bucket": bucket, "Key": key, **self._s3._bucket_owner_params}

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._s3._download_file(remote_file_path, local_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file, or all that is under a folder."""
        with _told_in_one_line(f"delete {artifact_path or self.artifact_uri}"):
            self._s3.delete_artifacts(artifact_path)

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Store what a blocking stream yields."""
        upload = self._upload(artifact_file_name, artifact_path)
        with transfer(), _told_in_one_line(f"store {upload.key}"):
            try:
                while chunk := stream.read(ARTIFACT_STREAM_CHUNK_SIZE):
                    upload.part.write(chunk)
                    if upload.is_full():
                        upload.send_part(upload.take())
                upload.finish()
            except BaseException:
                upload.discard()
                raise

    async def log_artifact_from_async_stream(
        self,
        chunks: AsyncIterable[bytes],
        artifact_file_name: str,
        artifact_path: str | None = None,
    ) -> None:
        """Store what an async stream yields, and send each part while the next one arrives."""
        upload = self._upload(artifact_file_name, artifact_path)
        with transfer(), _told_in_one_line(f"store {upload.key}"):
            sending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            sending.set_result(None)
            try:
                try:
                    async for chunk in chunks:
                        await upload.part.add(chunk)
                        if upload.is_full():
                            await sending
                            sending = _in_turn(upload.send_part, upload.take())
                finally:
                    await sending  # a failed upload is discarded after its last part was sent
                await _in_turn(upload.finish)
            except BaseException:
                await _in_turn(upload.discard)
                raise

    def _upload(self, file_name: str, artifact_path: str | None) -> "_Upload":
        bucket, root = self._s3.parse_s3_compliant_uri(self.artifact_uri)
        key = posixpath.join(root, artifact_path or "", posixpath.basename(file_name))
        content_type, encoding = guess_type(file_name)
        options = {
            **({"ContentType": content_type} if content_type else {}),
            **({"ContentEncoding": encoding} if encoding else {}),
            **self._s3._bucket_owner_params,
            **(self._s3.get_s3_file_upload_extra_args() or {}),
        }
        return _Upload(self._s3._get_s3_client(), bucket, key, options)


class _Upload:
    """One object: it appears when all of it has arrived, and not at all otherwise."""

    def __init__(self, client: Any, bucket: str, key: str, options: dict[str, Any]) -> None:
        self.key = key
        self._client = client
        self._options = {"Bucket": bucket, "Key": key, **options}
        self.part = Spool(PART_SIZE)
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []

    def discard(self) -> None:
        """Abort the upload in the store, unless the store is silent."""
        if self._id is None:
            return
        try:
            self._call("abort_multipart_upload", UploadId=self._id)
        except (BotoCoreError, ClientError, SilentError) as error:
            # The caller reports the failure of the upload. The store expires stale parts.
            _logger.warning("Cannot remove the unfinished parts of %s: %s", self.key, error)

    def is_full(self) -> bool:
        """Return whether the part has the size at which it is sent."""
        return self.part.size >= PART_SIZE

    def take(self) -> Spool:
        """Return the part, and begin the next part."""
        part, self.part = self.part, Spool(PART_SIZE)
        return part

    def send_part(self, part: Spool) -> None:
        """Send a part, and remove it from /tmp."""
        if self._id is None:
            self._id = self._call("create_multipart_upload")["UploadId"]
        number = len(self._parts) + 1
        with closing(part):
            sent = self._call(
                "upload_part", UploadId=self._id, PartNumber=number, Body=part.rewound()
            )
        # S3 wants each part's checksum again when it puts the object together.
        checksums = {name: value for name, value in sent.items() if name.startswith("Checksum")}
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"], **checksums})

    def finish(self) -> None:
        """Complete the upload. From then on the object exists."""
        if self._id is None:
            with closing(self.part):
                self._call("put_object", Body=self.part.rewound())
            return
        if self.part.size:
            self.send_part(self.take())
        self._call(
            "complete_multipart_upload", UploadId=self._id, MultipartUpload={"Parts": self._parts}
        )

    def _call(self, method: str, **arguments: Any) -> Any:
        # Some options, such as an ACL, are accepted by some of the operations of an upload only.
        operation = self._client.meta.method_to_api_mapping[method]
        known = self._client.meta.service_model.operation_model(operation).input_shape.members
        options = {name: value for name, value in self._options.items() if name in known}
        return _ask(self._client, method, options | arguments)


def _artifact(answer: dict[str, Any]) -> Artifact:
    tag = answer["ETag"].strip('"')
    return Artifact(answer["ContentLength"], tag, answer["LastModified"])


def _find(client: Any, method: str, options: dict[str, Any]) -> Any:
    """Return the answer to a read of an object. A doubtful 404 becomes the store's 503.

    A server of MinIO that reaches too few others answers 404 for an object that it lacks itself
    (`pickLatestQuorumFilesInfo`). Asked for a version, it answers 503. The version of an object
    that was stored without versions is called null.
    """
    try:
        return _ask(client, method, options)
    except ClientError as error:
        deleted = "x-amz-delete-marker" in error.response["ResponseMetadata"]["HTTPHeaders"]
        if _status(error) != HTTPStatus.NOT_FOUND or deleted:
            raise
        try:
            return _ask(client, method, {**options, "VersionId": "null"})
        except ClientError as doubt:
            if _status(doubt) >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            raise error from None


def _ask(client: Any, method: str, options: dict[str, Any]) -> Any:
    alive = partial(_answers, client, options["Bucket"])
    return answered(alive, partial(getattr(client, method), **options))


def _answers(client: Any, bucket: str) -> None:
    """Return if the store answers, whatever it answers.

    Raises:
        BotoCoreError: if the store does not answer.
    """
    with suppress(ClientError):
        client.head_bucket(Bucket=bucket)


def _in_turn(call: Callable[..., None], *arguments: Any) -> "asyncio.Future[None]":
    return asyncio.get_running_loop().run_in_executor(_SENDERS, call, *arguments)


@contextmanager
def _told_in_one_line(action: str) -> Generator[None]:
    # For an exception of another type, the server answers 500 without the reason.
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in _FULL:
            raise no_room.failure("the artifact store", f"cannot {action}: {error}") from error
        raise MlflowException(f"Cannot {action}: {error}", error_code=_code(error)) from error
    except MlflowException as error:
        # MLflow's listing reports a prefix that the store refuses as an internal error.
        if isinstance(cause := error.__context__, ClientError):
            raise MlflowException(f"Cannot {action}: {cause}", error_code=_code(cause)) from cause
        raise
    except (BotoCoreError, SilentError) as error:
        message = f"Cannot {action}: {error}"
        raise MlflowException(message, error_code=TEMPORARILY_UNAVAILABLE) from error
    except OSError as error:
        if not no_room.of_system(error):
            raise
        raise no_room.failure("the server's /tmp", f"cannot {action}") from error


def _code(error: ClientError) -> int:
    code = error.response["Error"]["Code"]
    if code in _REFUSED:
        return int(INVALID_PARAMETER_VALUE)
    if code in ("412", "PreconditionFailed"):
        return int(TEMPORARILY_UNAVAILABLE)  # replaced since it was found
    # One of several servers that has just lost another, for instance.
    failed = _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR
    return int(
        BOTO_TO_MLFLOW_ERROR.get(code, TEMPORARILY_UNAVAILABLE if failed else INTERNAL_ERROR)
    )


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
