"""In the server's pod: what its key can do in the artifact store; prints it as JSON."""

import json
import os
from collections.abc import Callable
from typing import Any

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

ENDPOINT = os.environ["MLFLOW_S3_ENDPOINT_URL"]
root_password = os.environ.pop("ROOT_PASSWORD")
root = Credentials("root-of-minio", root_password)
server = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])


def client(key: Credentials) -> Any:
    """Return a client of the store."""
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )


def outcome(call: Callable[..., object], **arguments: object) -> str:
    """Return how a call ended."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def administer(key: Credentials) -> int:
    """Return the status of a question that only an administrator may ask."""
    signed = AWSRequest("GET", f"{ENDPOINT}/minio/admin/v3/info")
    S3SigV4Auth(key, "s3", "us-east-1").add_auth(signed)
    return int(URLLib3Session().send(signed.prepare()).status_code)


as_root, as_server = client(root), client(server)
as_root.create_bucket(Bucket="others")
as_root.put_object(Bucket="others", Key="a", Body=b"a")
try:
    print(
        json.dumps(
            {
                "put own": outcome(as_server.put_object, Bucket="mlflow", Key="e2e", Body=b"a"),
                "get own": outcome(as_server.get_object, Bucket="mlflow", Key="e2e"),
                "delete own": outcome(as_server.delete_object, Bucket="mlflow", Key="e2e"),
                "list other": outcome(as_server.list_objects_v2, Bucket="others"),
                "get other": outcome(as_server.get_object, Bucket="others", Key="a"),
                "put other": outcome(as_server.put_object, Bucket="others", Key="b", Body=b"b"),
                "make bucket": outcome(as_server.create_bucket, Bucket="more"),
                "remove own bucket": outcome(as_server.delete_bucket, Bucket="mlflow"),
                "administer as root": administer(root),
                "administer": administer(server),
                "environment holds the root key": root_password in os.environ.values(),
            }
        )
    )
finally:
    as_root.delete_object(Bucket="others", Key="a")
    as_root.delete_bucket(Bucket="others")
