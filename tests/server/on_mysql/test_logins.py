"""A rotation's second login works on the same tables, until the first login ends itself."""

import json

import pytest
from conftest import Mysql, login
from mlflow_kubernetes import contract, end_former

# As MLflow's migration makes one: it runs as the login that made it.
TRIGGER = "CREATE TRIGGER counts BEFORE INSERT ON kept FOR EACH ROW SET NEW.number = NEW.number + 1"


def end(mysql: Mysql, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the program of the Job that ends former logins."""
    former = {login(one): f"of-{one}" for one in range(number)}
    monkeypatch.setenv(contract.BACKEND_STORE_URI, mysql.uri(number))
    monkeypatch.setenv(contract.FORMER_LOGINS, json.dumps(former))
    monkeypatch.setenv(contract.FORMER_POD_SECONDS, "0")
    end_former.main()


def test_former_and_new_servers_work_on_the_same_tables(
    mysql: Mysql, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mysql.start(0)
    mysql.ask(0, "CREATE TABLE kept (number int)")
    mysql.ask(0, TRIGGER)
    # The next rotation may come before the former login has ended.
    for number in (1, 2):
        mysql.stop(number - 1)
        mysql.start(number)
        assert [mysql.lets_in(one) for one in range(number + 1)] == [True] * (number + 1)
        assert mysql.lets_root_in(number)
        assert not mysql.lets_root_in(number - 1)
    mysql.ask(2, "ALTER TABLE kept ADD COLUMN more int")
    mysql.ask(0, "CREATE TABLE mlflow_auth.users (name int)")
    mysql.ask(2, "DROP TABLE mlflow_auth.users")

    with mysql.engine(0).connect() as idle:
        idle.exec_driver_sql("SELECT 1")
        end(mysql, 2, monkeypatch)
        idle.invalidate()
    said = capsys.readouterr().out
    assert "user mlflow has no known password now; sessions that were ended: 1" in said
    assert "user mlflow_1 has no known password now; sessions that were ended: 0" in said
    assert [mysql.lets_in(one) for one in range(3)] == [False, False, True]
    end(mysql, 2, monkeypatch)
    assert "nothing of a former password or key is left" in capsys.readouterr().out

    # A start runs the statements again.
    mysql.stop(2)
    mysql.start(2)
    assert [mysql.lets_in(one) for one in range(3)] == [False, False, True]
    mysql.ask(2, "INSERT INTO kept (number) VALUES (1)")
    assert mysql.ask(2, "SELECT number FROM kept") == [(2,)]
    mysql.ask(2, "DROP TRIGGER counts")
    assert "of-root" not in mysql.said()


def test_an_empty_volume_gets_the_new_login_alone(
    mysql: Mysql, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mysql.start(1)
    mysql.ask(1, "CREATE TABLE mlflow_auth.users (name int)")
    assert not mysql.lets_in(0)
    end(mysql, 1, monkeypatch)
    assert "nothing of a former password or key is left" in capsys.readouterr().out
    mysql.stop(1)
    mysql.start(1)
