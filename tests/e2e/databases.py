"""What the tests know of each backend store beyond what the stack publishes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.kubectl import Kubectl


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

    @contextmanager
    def another(self, kubectl: Kubectl, name: str) -> Iterator[None]:
        """Have another database on the server."""
        self._administer(kubectl, self.make.format(name))
        try:
            yield
        finally:
            self._administer(kubectl, self.drop.format(name))

    def _administer(self, kubectl: Kubectl, statements: str) -> None:
        kubectl("exec", "-i", f"{self.name}-0", "--", *self.client, stdin=statements)


POSTGRES = Database(
    name="postgres",
    port=5432,
    superuser="postgres-superuser-password",
    client=["psql", "-h", "127.0.0.1", "-U", "postgres", "-qv", "ON_ERROR_STOP=1"],
    make="create database {0} owner mlflow;",
    drop="drop database {0} with (force);",
)
MYSQL = Database(
    name="mysql",
    port=3306,
    superuser="mysql-root-password",
    client=["sh", "-c", 'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" exec mysql --user=root'],
    make="create database {0}; grant all on {0}.* to mlflow;",
    drop="drop database {0}; revoke all on {0}.* from mlflow;",
)
DATABASES = {database.name: database for database in (POSTGRES, MYSQL)}
