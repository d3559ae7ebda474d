"""Facts of each backend store that a stack does not publish, for tests."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.kubectl import Kubectl


@dataclass(frozen=True)
class Database:
    """A backend store of the stack."""

    name: str
    """Value of the setting `backendStore`, and name of the Service and of the component."""
    port: int
    superuser: str
    """Name of the superuser's generated password."""
    client: list[str]
    """Command in the pod that runs a superuser's statements from standard input."""
    make: str
    """Statements that make a database in which MLflow's user may do everything."""
    drop: str
    """Statements that drop a database, even while clients are connected."""
    data: str
    """The words of the volume's check for the data on the volume."""
    older_image: str
    """An image of a version that does not read the volume."""
    accepted: str
    """The words of a refusal of that image for the accepted ones."""
    like_another: list[str]
    """Arguments of `env` with which the volume's check runs as in another version's image."""
    lock: str
    """Statements that lock the table of users for some seconds."""
    connections: str
    """Statement that lists the ids of the connections of MLflow's user, one a line."""
    end_connection: str
    """Statement that ends a connection."""

    @contextmanager
    def another(self, kubectl: Kubectl, name: str) -> Generator[None]:
        """Make another database on the server, and drop it at the end."""
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


# A program with the name of the server tells the volume's check an older version.
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
