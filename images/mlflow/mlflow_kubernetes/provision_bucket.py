"""Make the artifact bucket in MinIO, and a key for this bucket alone.

A second run changes nothing, or repairs what is missing.
"""

import io
import os
from typing import TypeVar
from urllib.parse import urlsplit

import certifi
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import InvalidResponseError, MinioAdminException, S3Error, ServerError
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from mlflow_kubernetes import contract
from mlflow_kubernetes.support.environment import fail, one_line, required, wait

_PROBE = ".mlflow-kubernetes-probe"
_Client = TypeVar("_Client", bound=Minio | MinioAdmin)


def main() -> None:
    """Provision as soon as the server answers."""
    endpoint = required(contract.S3_ENDPOINT_URL)
    if not endpoint.startswith(("http://", "https://")):
        fail(f"MLFLOW_S3_ENDPOINT_URL is {endpoint!r}: expected http://<host> or https://<host>")
    # What MLflow itself reads: s3://<bucket>.
    destination = required(contract.ARTIFACTS_DESTINATION)
    bucket = urlsplit(destination).netloc
    if not destination.startswith("s3://") or not bucket:
        fail(f"MLFLOW_ARTIFACTS_DESTINATION is {destination!r}: expected s3://<bucket>")
    root = StaticProvider(required(contract.MINIO_USER), required(contract.MINIO_PASSWORD))
    limited = StaticProvider(required(contract.S3_KEY), required(contract.S3_SECRET))
    wait(f"bucket {bucket} at {endpoint}", lambda: _problem(endpoint, bucket, root, limited))
    print(f"bucket {bucket} at {endpoint}: there, and its key reads and writes it")


def _problem(
    endpoint: str, bucket: str, root: StaticProvider, limited: StaticProvider
) -> str | None:
    """Provision. Return a problem that may pass; end the Job at any other problem."""
    step = "make"
    try:
        _make_bucket(client_of(Minio, endpoint, root), bucket)
        step = "make a key for"
        _make_key(client_of(MinioAdmin, endpoint, root), bucket, limited)
        step = "use the new key on"
        _prove(client_of(Minio, endpoint, limited), bucket)
    except (S3Error, MinioAdminException, InvalidResponseError, ServerError) as error:
        if _status(error) < 500:
            fail(f"cannot {step} bucket {bucket} at {endpoint}: {reason(error)}")
        return reason(error)
    except HTTPError as error:
        return reason(error)
    except ValueError as error:
        fail(f"cannot {step} bucket {bucket} at {endpoint}: {one_line(error)}")
    return None


def _make_bucket(client: Minio, bucket: str) -> None:
    try:
        client.make_bucket(bucket)
    except S3Error as error:
        if error.code != "BucketAlreadyOwnedByYou":
            raise


def _make_key(admin: MinioAdmin, bucket: str, limited: StaticProvider) -> None:
    key = limited.retrieve()
    admin.user_add(key.access_key, key.secret_key)
    admin.policy_add(bucket, policy=_policy(bucket))
    admin.policy_set(bucket, user=key.access_key)


def _policy(bucket: str) -> dict[str, object]:
    """Allow what MLflow asks of its bucket; everything else stays denied."""
    statements = (
        (f"arn:aws:s3:::{bucket}", "GetBucketLocation ListBucket ListBucketMultipartUploads"),
        (
            f"arn:aws:s3:::{bucket}/*",
            "GetObject PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts",
        ),
    )
    return {
        "Version": "2012-10-17",
        "Statement": [
            *(
                {
                    "Effect": "Allow",
                    "Action": [f"s3:{action}" for action in actions.split()],
                    "Resource": [resource],
                }
                for resource, actions in statements
            ),
            # By default, a key may change itself and make other keys, which stay valid after the
            # first one is replaced (MinIO's cmd/admin-handlers-users.go: DenyOnly).
            {"Effect": "Deny", "Action": ["admin:*"]},
        ],
    }


def _prove(client: Minio, bucket: str) -> None:
    content = os.urandom(16)
    client.put_object(bucket, _PROBE, io.BytesIO(content), len(content))
    with client.get_object(bucket, _PROBE) as answer:
        if answer.read() != content:
            raise ValueError("the store gave back something else than was stored")
    client.remove_object(bucket, _PROBE)


def client_of(kind: type[_Client], endpoint: str, key: StaticProvider) -> _Client:
    """Return a client of MinIO that repeats nothing by itself."""
    url = urlsplit(endpoint)
    return kind(
        endpoint=url.netloc,
        credentials=key,
        secure=url.scheme == "https",
        # By default, the package repeats requests for minutes when the server is down.
        http_client=PoolManager(
            timeout=Timeout(connect=5, read=30),
            retries=Retry(0),
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        ),
    )


def _status(error: Exception) -> int:
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, ServerError):
        return error.status_code
    return int(error._code)  # type: ignore[attr-defined] # the others only keep it privately


def reason(error: Exception) -> str:
    """Return the store's own words."""
    if isinstance(error, S3Error):
        return one_line(f"{error.code}: {error.message}")
    return one_line(getattr(error, "reason", None) or error)


if __name__ == "__main__":
    main()
