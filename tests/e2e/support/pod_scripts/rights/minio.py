"""In the server's pod: what its key can do in MinIO, and what it cannot; prints it as JSON."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from minio import MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException

ENDPOINT = os.environ["MLFLOW_S3_ENDPOINT_URL"]
ROOT = ("root-of-minio", os.environ.pop("ROOT_PASSWORD"))
SERVER = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
}


def client(access: str, secret: str, service: str = "s3") -> Any:
    """Return a client of the store."""
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )


def administer(access: str, secret: str) -> MinioAdmin:
    """Return a client of the store's administration."""
    return MinioAdmin(
        endpoint=urlsplit(ENDPOINT).netloc,
        credentials=StaticProvider(access, secret),
        secure=False,
    )


def outcome(call: Callable[..., object], **arguments: object) -> str:
    """Return how a call ended."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except MinioAdminException as error:
        return str(json.loads(error._body)["Code"])  # kept privately
    return "done"


def list_buckets() -> None:
    """Ask for every bucket; the store answers with those that the key may know of."""
    if [bucket["Name"] for bucket in mine.list_buckets()["Buckets"]] == ["mlflow"]:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListBuckets")


root, mine, as_me = client(*ROOT), client(*SERVER), administer(*SERVER)
as_root = administer(*ROOT)
own, other = {"Bucket": "mlflow", "Key": "e2e"}, {"Bucket": "others", "Key": "a"}
root.create_bucket(Bucket="others")
root.put_object(**other, Body=b"a")
# In this order: one makes what the next uses.
MAY: dict[str, Callable[[], object]] = {
    "write": partial(mine.put_object, **own, Body=b"a"),
    "read": partial(mine.get_object, **own),
    "list": partial(mine.list_objects_v2, Bucket="mlflow"),
    "upload in parts": lambda: mine.abort_multipart_upload(
        **own, UploadId=mine.create_multipart_upload(**own)["UploadId"]
    ),
    "delete": partial(mine.delete_object, **own),
    # What is denied below is well asked for.
    "root: list users": as_root.user_list,
    "root: ask for the server's state": as_root.info,
    "root: ask how a bucket keeps versions": partial(root.get_bucket_versioning, Bucket="mlflow"),
}
MAY_NOT: dict[str, Callable[[], object]] = {
    "see other buckets": list_buckets,
    "list another bucket": partial(mine.list_objects_v2, Bucket="others"),
    "read from it": partial(mine.get_object, **other),
    "write to it": partial(mine.put_object, Bucket="others", Key="b", Body=b"b"),
    "delete from it": partial(mine.delete_object, **other),
    "copy from it": partial(mine.copy_object, **own, CopySource=other),
    "make a bucket": partial(mine.create_bucket, Bucket="more"),
    "remove its bucket": partial(mine.delete_bucket, Bucket="mlflow"),
    "read its bucket's policy": partial(mine.get_bucket_policy, Bucket="mlflow"),
    "open its bucket to everybody": partial(
        mine.put_bucket_policy, Bucket="mlflow", Policy=json.dumps(EVERYTHING)
    ),
    "change how its bucket keeps versions": partial(
        mine.put_bucket_versioning,
        Bucket="mlflow",
        VersioningConfiguration={"Status": "Enabled"},
    ),
    "let objects of its bucket expire": partial(
        mine.put_bucket_lifecycle_configuration,
        Bucket="mlflow",
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "a",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "Expiration": {"Days": 1},
                }
            ]
        },
    ),
    "administer: see the server's state": as_me.info,
    "administer: list users": as_me.user_list,
    "administer: make a user": partial(as_me.user_add, "more", "more-than-enough"),
    "administer: make a policy": partial(as_me.policy_add, "more", policy=EVERYTHING),
    "administer: take on a policy": partial(as_me.policy_set, "consoleAdmin", user=SERVER[0]),
    "administer: reset a setting": partial(as_me.config_reset, "region"),
    "administer: restart the server": as_me.service_restart,
    "administer: make a key that outlives this one": partial(
        as_me.add_service_account, access_key="more", secret_key=SERVER[1]
    ),
    "administer: change its own key": partial(as_me.user_add, *SERVER),
    "be root by its own key": client(ROOT[0], SERVER[1]).list_buckets,
}
try:
    said = {what: outcome(call) for what, call in MAY_NOT.items()}
    print(json.dumps({"may": {what: outcome(call) for what, call in MAY.items()}, "may not": said}))
finally:
    root.delete_object(**other)
    root.delete_bucket(Bucket="others")
    # Nothing that a missing protection let through stays.
    for undo in (
        partial(as_root.user_remove, "more"),
        partial(as_root.policy_remove, "more"),
        partial(as_root.delete_service_account, "more"),
    ):
        with suppress(MinioAdminException):
            undo()
