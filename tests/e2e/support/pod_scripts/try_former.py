"""In the server's pod: print which passwords and keys of before a rotation are still good, as JSON.

The environment has what was in the Secrets before, in `FORMER`, a JSON object of all variables.
"""

import json
import os
from collections.abc import Callable

import boto3
import sqlalchemy
from botocore.exceptions import ClientError
from cryptography.fernet import Fernet, InvalidToken
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.utils.crypto import KEKManager, unwrap_dek
from sqlalchemy.exc import OperationalError

former = json.loads(os.environ["FORMER"])
runs = sqlalchemy.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])


def logs_in(uri: str) -> bool:
    sqlalchemy.create_engine(uri).connect().close()
    return True


def superuser() -> bool:
    # MySQL's logs in within its own pod alone.
    url = sqlalchemy.make_url(former["MLFLOW_BACKEND_STORE_URI"]).set(
        username="postgres", password=former["POSTGRES_PASSWORD"], database="postgres"
    )
    return logs_in(url.render_as_string(hide_password=False))


def bucket() -> bool:
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=former["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=former["AWS_SECRET_ACCESS_KEY"],
    )
    client.list_objects_v2(Bucket="mlflow", MaxKeys=1)
    return True


def passphrase() -> bool:
    table = SqlGatewaySecret.__table__
    version = int(former.get("MLFLOW_CRYPTO_KEK_VERSION", "1"))
    kek = KEKManager(former["MLFLOW_CRYPTO_KEK_PASSPHRASE"], version).get_kek()
    with runs.connect() as connection:
        (wrapped, *_) = connection.execute(sqlalchemy.select(table.c.wrapped_dek)).scalars()
    unwrap_dek(wrapped, kek)
    return True


def webhook() -> bool:
    with runs.connect() as connection:
        (token, *_) = connection.exec_driver_sql("SELECT secret FROM webhooks").scalars()
    Fernet(former["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]).decrypt(token.encode())
    return True


def good(tried: Callable[[], bool]) -> bool:
    try:
        return tried()
    except (OperationalError, ClientError, MlflowException, InvalidToken):
        return False


def user() -> bool:
    return logs_in(former["MLFLOW_BACKEND_STORE_URI"])


asked = [user, bucket, passphrase, webhook]
if "POSTGRES_PASSWORD" in former:
    asked.append(superuser)
found = {tried.__name__: good(tried) for tried in asked}
page = "MLFLOW_FLASK_SERVER_SECRET_KEY"
print(json.dumps({**found, "page": former[page] == os.environ[page]}))
