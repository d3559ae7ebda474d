"""In the server's pod: make a key of the artifact store that may list and read, and no more."""

import os
from urllib.parse import urlsplit

from minio import MinioAdmin
from minio.credentials import StaticProvider
from urllib3 import PoolManager

admin = MinioAdmin(
    endpoint=urlsplit(os.environ["MLFLOW_S3_ENDPOINT_URL"]).netloc,
    credentials=StaticProvider(
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    ),
    secure=True,
    http_client=PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"]),
)
admin.user_add("reader", os.environ["READER_KEY"])
statement = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"]}
admin.policy_add(
    "reading",
    policy={"Version": "2012-10-17", "Statement": [{**statement, "Resource": ["arn:aws:s3:::*"]}]},
)
admin.policy_set("reading", user="reader")
