"""The login that copies PostgreSQL's data and its write-ahead log (WAL) for backups."""

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import labels, metadata
from .._kubernetes.network_policies import client_labels
from .._kubernetes.pods import Credentials, once_done, secret_env
from .._kubernetes.retention import RetentionArgs, generations
from .._kubernetes.uris import fingerprint
from ..backend_stores._server import FIRST_START_FOLDER, Server
from ..backend_stores._superuser_job import superuser_job

USER = "replicator"
HBA_FILE = "pg_hba.conf"
HBA = f"""\
# The rules of the official image, which let nobody copy the server's data from another pod.
local all all trust
host all all 127.0.0.1/32 trust
host all all ::1/128 trust
local replication all trust
host replication all 127.0.0.1/32 trust
host replication all ::1/128 trust
host all all all scram-sha-256
# The login of backups.
host replication {USER} all scram-sha-256
"""
"""Rules of who may connect to the server, which replace the file in the data folder."""
SETTINGS = (
    f"hba_file={FIRST_START_FOLDER}/{HBA_FILE}",
    # A receiver that was away goes on where it was. A replication slot would keep more, but would
    # fill the volume if no receiver comes back.
    "wal_keep_size=512MB",
)
"""Settings of the server."""
MAKE_ROLE = rf"""set -eu
until pg_isready -q -t 5; do
  sleep 1
done
psql -wXq -d postgres -v ON_ERROR_STOP=1 << 'SQL'
-- A failed statement would be logged with the password in it.
SET log_min_error_statement = 'panic';
\getenv password REPLICATION_PASSWORD
SELECT 'CREATE ROLE {USER}'
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{USER}') \gexec
ALTER ROLE {USER} LOGIN REPLICATION PASSWORD :'password';
-- The archive's pod asks how far the log has been received.
GRANT CONNECT ON DATABASE postgres TO {USER};
GRANT pg_read_all_stats TO {USER};
SQL
echo "the role {USER} may copy the server's data"
"""  # noqa: S608 (no value of a user)


def replication(
    name: str,
    server: Server,
    image: pulumi.Input[str],
    *,
    namespace: pulumi.Input[str],
    retention: RetentionArgs,
    rotation: int,
    opts: pulumi.ResourceOptions,
) -> Credentials:
    """Make a role that may copy the server's data, and return its login: libpq's variables.

    Args:
        name: name of the server.
        server: the server.
        image: the server's image.
        namespace: the namespace of the objects.
        retention: what becomes of the generated password.
        rotation: how many times the password was rotated.
        opts: options of the objects.
    """
    role = f"{name}-replication"
    password, *_ = generations(f"{role}-password", 32, retention, opts, rotation)
    secret = k8s.core.v1.Secret(
        role,
        metadata=metadata(role, namespace, labels(name, "postgres", "backend-store")),
        string_data={"PGHOST": server.host, "PGUSER": USER, "PGPASSWORD": password},
        opts=opts,
    )
    login: Credentials = {
        "secret": secret.metadata.name,
        "fingerprint": fingerprint(password, server.host),
        "client_labels": client_labels(name),
    }
    made = superuser_job(
        role,
        MAKE_ROLE,
        container="role",
        image=image,
        host=server.host,
        environment=[
            secret_env("PGPASSWORD", *server.superuser),
            secret_env("REPLICATION_PASSWORD", secret.metadata.name, "PGPASSWORD"),
        ],
        login=login,
        namespace=namespace,
        pods=server.pods,
        opts=opts,
    )
    return {**login, "secret": once_done(made, secret.metadata.name)}
