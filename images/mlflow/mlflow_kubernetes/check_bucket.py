"""Check whether MLflow can keep artifacts in a bucket that exists already.

The check does with one object of its own what the server does with artifacts, and removes the
object again.
"""

import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    SSLError,
)

from mlflow_kubernetes import contract
from mlflow_kubernetes.support.environment import (
    fail,
    limit,
    one_line,
    required,
    secrets_read,
    wait,
)

_CONTENT = b"left by a check of mlflow_kubernetes; safe to remove"


def main() -> None:
    """Wait for the store, then try the bucket."""
    destination = urlsplit(required(contract.ARTIFACTS_DESTINATION))
    endpoint = os.environ.get(contract.S3_ENDPOINT_URL)
    where = f"bucket {destination.netloc} at {endpoint or 'Amazon S3'}"
    name = f".mlflow-kubernetes-check-{secrets.token_hex(4)}"
    key = f"{destination.path}/{name}".lstrip("/")
    limit(where)
    wait(where, lambda: _problem(where, lambda: _client(endpoint), destination.netloc, key))
    print(f"{where}: objects are written, read, listed and removed under {destination.path or '/'}")


def _client(endpoint: str | None) -> Any:
    """Return a client as MLflow makes it, with shorter time limits."""
    style = os.environ.get(contract.S3_ADDRESSING_STYLE, "auto")
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": style},
            connect_timeout=5,
            read_timeout=10,
            retries={"total_max_attempts": 1},
        ),
    )


def _problem(where: str, client: Callable[[], Any], bucket: str, key: str) -> str | None:
    """Try the bucket. Return a problem that may pass; end the Job at any other problem."""
    attempt = _Attempt(bucket, key)
    try:
        attempt.run(client())
    except ClientError as error:
        told = error.response["Error"]
        reason = one_line(f"{told.get('Code')}: {told.get('Message')}")
        if error.response["ResponseMetadata"].get("HTTPStatusCode", 0) >= 500:
            return reason
        fail(f"cannot {attempt.step} {where}: {reason}")
    except NoCredentialsError:
        fail(
            f"cannot {attempt.step} {where}: there is no key, neither in {secrets_read()} nor by"
            " the service account or the node"
        )
    except SSLError as error:
        fail(f"cannot {attempt.step} {where}: {_without_query(error)}")
    except (HTTPClientError, ConnectionError) as error:
        return _without_query(error)
    except (BotoCoreError, ValueError) as error:
        fail(f"cannot {attempt.step} {where}: {one_line(error)}")
    return None


def _without_query(error: BotoCoreError) -> str:
    return re.sub(r"\?[^\s\"]*", "", one_line(error))


class _Attempt:
    """All that a server does with artifacts, step by step."""

    step = "reach"

    def __init__(self, bucket: str, key: str) -> None:
        self._object = {"Bucket": bucket, "Key": key}

    def run(self, client: Any) -> None:
        """Do it; ``step`` tells how far it came."""
        self.step = "list"
        client.list_objects_v2(Bucket=self._object["Bucket"], Prefix=self._object["Key"], MaxKeys=1)
        self.step = "write to"
        client.put_object(**self._object, Body=_CONTENT)
        try:
            self.step = "read from"
            if client.get_object(**self._object)["Body"].read() != _CONTENT:
                raise ValueError("it gives back something else than was stored")
            self._upload_in_parts(client)
        except (BotoCoreError, ClientError, ValueError):
            with suppress(BotoCoreError, ClientError):
                client.delete_object(**self._object)
            raise
        self.step = f"remove {self._object['Key']} from"
        client.delete_object(**self._object)

    def _upload_in_parts(self, client: Any) -> None:
        self.step = "upload in parts to"
        upload = self._start_upload(client)
        try:
            part = client.upload_part(**upload, PartNumber=1, Body=_CONTENT)
            checksums = {name: value for name, value in part.items() if name.startswith("Checksum")}
            parts = [{"PartNumber": 1, "ETag": part["ETag"], **checksums}]
            client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except (BotoCoreError, ClientError):
            with suppress(BotoCoreError, ClientError):
                client.abort_multipart_upload(**upload)
            raise
        self.step = "abort an upload to"
        client.abort_multipart_upload(**self._start_upload(client))

    def _start_upload(self, client: Any) -> dict[str, Any]:
        started = client.create_multipart_upload(**self._object)
        return {**self._object, "UploadId": started["UploadId"]}


if __name__ == "__main__":
    main()
