"""New logins of PostgreSQL while servers use the former ones.

A role of PostgreSQL has one password. So each rotation makes a role of its own, a member of the
role that owns MLflow's databases. Its sessions begin as the owner, so that whatever they make
belongs to the owner. Former and new servers work beside each other. When all servers are new, the
tracking server's Job `rotation` takes the passwords of the former roles away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import labels, metadata
from .._kubernetes.network_policies import client_labels
from .._kubernetes.pod_options import PodOptions
from .._kubernetes.pods import Credentials, once_done, secret_env
from .._kubernetes.uris import database_uri, fingerprint
from ..backend_stores._superuser_job import SUPERUSER, superuser_job

_PASSWORD = "POSTGRES_PASSWORD"  # noqa: S105 (a name)
MAKE_LOGIN = r"""set -eu
until pg_isready -q -t 5; do
  sleep 1
done
known=
for one in $POSTGRES_PASSWORDS; do
  if said=$(PGPASSWORD=$one psql -wXq -d postgres -c 'SELECT' 2>&1 > /dev/null); then
    known=$one
    break
  fi
done
if [ -z "$known" ]; then
  echo "error: the superuser has none of the passwords that this stack has generated:" $said >&2
  exit 1
fi
export PGPASSWORD=$known
psql -wXq -d postgres -v ON_ERROR_STOP=1 << 'SQL'
-- A failed statement would be logged with the password in it.
SET log_min_error_statement = 'panic';
-- In a second run, the login is a member already.
SET client_min_messages = 'warning';
\getenv owner APPLICATION_OWNER
\getenv login APPLICATION_USER
\getenv password APPLICATION_PASSWORD
\getenv superuser_password POSTGRES_PASSWORD
BEGIN;
SELECT format('CREATE ROLE %I', :'login')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \gexec
ALTER ROLE :"login" LOGIN PASSWORD :'password';
GRANT :"owner" TO :"login";
ALTER ROLE :"login" SET role = :'owner';
ALTER ROLE CURRENT_USER PASSWORD :'superuser_password';
COMMIT;
SQL
echo "user $APPLICATION_USER works as $APPLICATION_OWNER, whose databases are as before"
"""


@dataclass(frozen=True)
class Passwords:
    """What the database is to have."""

    user: str
    """Name of the new login."""
    of_user: pulumi.Input[str]
    of_superuser: Sequence[pulumi.Output[str]]
    """The passwords of all generations, the new one first. A database may have any of them: one
    that was made anew has the first one, until the Job has run."""


@dataclass(frozen=True)
class Login:
    """A login that a Job makes."""

    credentials: Credentials
    """The Secret with ``DATABASE_SUPERUSER_URI``, by which former logins are ended."""
    superuser_key: str
    """The key of the superuser's password in that Secret."""
    job: k8s.batch.v1.Job

    def when_made(self, value: pulumi.Input[str]) -> pulumi.Output[str]:
        """Return a value that is known when the login works."""
        return once_done(self.job, value)


def rotated_login(
    name: str,
    image: pulumi.Input[str],
    passwords: Passwords,
    *,
    owner: str,
    host: pulumi.Output[str],
    port: int,
    namespace: pulumi.Input[str],
    pods: PodOptions,
    opts: pulumi.ResourceOptions,
) -> Login:
    """Make the Job that gives the database a new login, and a new password of the superuser.

    Args:
        name: name of the server.
        image: the server's image.
        passwords: the new login.
        owner: the role that owns MLflow's databases.
        host: name of the server's Service. Known when the server takes queries.
        port: the server's port.
        namespace: the namespace of the objects.
        pods: what the platform demands of the pods.
        opts: options of the objects.
    """
    new = passwords.of_superuser[0]
    address = pulumi.Output.all(new, host).apply(
        lambda known: database_uri(
            "postgresql+psycopg2",
            user=SUPERUSER,
            password=known[0],
            host=known[1],
            port=port,
            database=SUPERUSER,
        )
    )
    secret = k8s.core.v1.Secret(
        f"{name}-rotation",
        metadata=metadata(f"{name}-rotation", namespace, labels(name, "postgres", "backend-store")),
        string_data={
            "DATABASE_SUPERUSER_URI": address,
            _PASSWORD: new,
            # Letters and digits alone, which a shell splits at blanks.
            "POSTGRES_PASSWORDS": pulumi.Output.all(*passwords.of_superuser).apply(" ".join),
            "APPLICATION_PASSWORD": passwords.of_user,
        },
        opts=opts,
    )
    credentials: Credentials = {
        "secret": secret.metadata.name,
        "fingerprint": fingerprint(passwords.of_user, new, host),
        "client_labels": client_labels(name),
    }
    read = (_PASSWORD, "POSTGRES_PASSWORDS", "APPLICATION_PASSWORD")
    made = superuser_job(
        f"{name}-login",
        MAKE_LOGIN,
        container="login",
        image=image,
        host=host,
        environment=[
            k8s.core.v1.EnvVarArgs(name="APPLICATION_OWNER", value=owner),
            k8s.core.v1.EnvVarArgs(name="APPLICATION_USER", value=passwords.user),
            *(secret_env(key, secret.metadata.name, key) for key in read),
        ],
        login=credentials,
        namespace=namespace,
        pods=pods,
        opts=opts,
    )
    return Login(credentials, _PASSWORD, made)
