"""A rotation's second login works as the owner of the databases, until the first login is ended."""

import pytest
import sqlalchemy
from conftest import Postgres
from mlflow_kubernetes import contract, end_former
from mlflow_kubernetes.upgrade import sessions


def make_login(postgres: Postgres, number: int) -> None:
    """Make a login as the Job does. The superuser has the last one of the passwords."""
    postgres.step(
        "login",
        PGUSER="postgres",
        APPLICATION_OWNER="mlflow",
        APPLICATION_USER=f"mlflow_{number}",
        APPLICATION_PASSWORD=f"of-{number}",
        POSTGRES_PASSWORD="another-one",  # noqa: S106 (the test's own)
        POSTGRES_PASSWORDS="another-one of-the-superuser",
    )


def with_a_password(postgres: Postgres) -> list[str]:
    with postgres.engine("postgres", "postgres").connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL ORDER BY rolname"
        )
        return list(found.scalars())


def test_former_and_new_servers_work_on_the_same_tables(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    postgres.ask("CREATE TABLE of_the_former (number int)")
    make_login(postgres, 1)
    postgres.ask("CREATE TABLE of_the_new (number int)", user="mlflow_1")
    postgres.ask("ALTER TABLE of_the_former ADD COLUMN more int", user="mlflow_1")
    postgres.ask("DROP TABLE of_the_new")
    # A second run of the Job, and the next rotation.
    make_login(postgres, 1)
    make_login(postgres, 2)
    postgres.ask("DROP TABLE of_the_former", user="mlflow_2")

    server = postgres.uri("mlflow").replace("//mlflow@", "//mlflow_2@")
    superuser = postgres.uri("postgres").replace("//mlflow@", "//postgres@")
    monkeypatch.setenv(contract.BACKEND_STORE_URI, server)
    monkeypatch.setenv(contract.SUPERUSER_URI, superuser)
    monkeypatch.setenv(contract.FORMER_POD_SECONDS, "0")
    assert with_a_password(postgres) == ["mlflow", "mlflow_1", "mlflow_2", "postgres", "replicator"]
    end_former.main()
    assert "users without a password now: mlflow, mlflow_1" in capsys.readouterr().out
    assert with_a_password(postgres) == ["mlflow_2", "postgres", "replicator"]
    end_former.main()
    assert "nothing of a former password or key is left" in capsys.readouterr().out
    # The probes of the server's pod.
    postgres.ask("SELECT 1")


def test_an_upgrade_ends_idle_sessions_of_a_second_login(postgres: Postgres) -> None:
    make_login(postgres, 1)
    server = postgres.uri("mlflow").replace("//mlflow@", "//mlflow_1@")
    engine = sqlalchemy.create_engine(server)
    with engine.connect() as idle, engine.connect() as upgrading:
        idle.exec_driver_sql("SELECT 1")
        idle.rollback()
        (found,) = sessions.others(upgrading)
        assert found.who == "user mlflow_1 at 127.0.0.1"
        assert found.idle_seconds is not None
        sessions.end(upgrading, found)
        upgrading.rollback()
        # What the upgrade makes belongs to the owner.
        assert upgrading.exec_driver_sql("SELECT current_user").scalar() == "mlflow"
        idle.invalidate()
