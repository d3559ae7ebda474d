"""What the tests know of each backend store beyond what the stack publishes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.kubectl import Kubectl


@dataclass(frozen=True)
class Database:
    """A backend store, under the name by which the settings choose it."""

    name: str
    """Also that of its Service, and of its pod's component."""
    port: int
    superuser: str
    """Name of the generated password that stays with the pod."""
    client: list[str]
    """Takes a superuser's statements from standard input, in the pod."""
    make: str
    """Makes a database that MLflow's user may do anything in."""
    drop: str
    """Drops it, whoever is connected to it."""
    data: str
    """How the volume's check names what is on the volume."""
    older_image: str
    """An image of a version that does not read the volume."""
    accepted: str
    """What is accepted in its place."""
    like_another: list[str]
    """Arguments of `env` with which the volume's check runs as in another version's image."""
    lock: str
    """Keeps everybody from the table of users, for some seconds."""
    connections: str
    """Lists the ids of the connections of MLflow's user, one a line."""
    end_connection: str
    """Ends one of them."""

    @contextmanager
    def another(self, kubectl: Kubectl, name: str) -> Iterator[None]:
        """Have another database on the server."""
        self._administer(kubectl, self.make.format(name))
        try:
            yield
        finally:
            self._administer(kubectl, self.drop.format(name))

    def empty(self, kubectl: Kubectl) -> None:
        """Drop the databases of MLflow, and make them anew without a table."""
        for name in ("mlflow", "mlflow_auth"):
            self._administer(kubectl, self.drop.format(name))
            self._administer(kubectl, self.make.format(name))

    def hold_users(self, kubectl: Kubectl, seconds: int) -> None:
        """Lock the table of users, and return when it is open again."""
        self._administer(kubectl, self.lock.format(seconds))

    def _administer(self, kubectl: Kubectl, statements: str) -> None:
        kubectl("exec", "-i", f"{self.name}-0", "--", *self.client, stdin=statements)


# A program of this name tells an older version to what runs after it.
_OLDER_MYSQL = """\
echo 'echo mysqld Ver 9.6.0' > /tmp/mysqld && chmod +x /tmp/mysqld
PATH=/tmp:$PATH "$@"
code=$?
rm /tmp/mysqld
exit $code
"""

POSTGRES = Database(
    name="postgres",
    port=5432,
    superuser="postgres-superuser-password",
    client=["psql", "-h", "127.0.0.1", "-U", "postgres", "-qv", "ON_ERROR_STOP=1"],
    make="create database {0} owner mlflow;",
    drop="drop database {0} with (force);",
    data="PostgreSQL 18 in /var/lib/postgresql/18/docker",
    older_image="postgres:17.6",
    accepted="a release of PostgreSQL 18",
    like_another=["PGDATA=/var/lib/postgresql/19/docker"],
    lock="\\c mlflow_auth\nbegin; lock table users; select pg_sleep({0});",
    connections="select pid from pg_stat_activity where usename = 'mlflow';",
    end_connection="select pg_terminate_backend({0});",
)
MYSQL = Database(
    name="mysql",
    port=3306,
    superuser="mysql-root-password",
    client=["sh", "-c", 'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" exec mysql --user=root'],
    make="create database {0}; grant all on {0}.* to mlflow;",
    drop="drop database {0}; revoke all on {0}.* from mlflow;",
    data="MySQL 9.7, and this image is 9.6",
    older_image="mysql:9.6.0",
    accepted="MySQL 9.7 or newer",
    like_another=["bash", "-c", _OLDER_MYSQL, "bash"],
    lock="use mlflow_auth; lock tables users write; select sleep({0});",
    connections="select id from information_schema.processlist where user = 'mlflow';",
    end_connection="kill {0};",
)
DATABASES = {database.name: database for database in (POSTGRES, MYSQL)}
