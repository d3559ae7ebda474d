"""In the server's pod: make a key of the artifact store that may read, and nothing else."""

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
admin.policy_set("readonly", user="reader")
