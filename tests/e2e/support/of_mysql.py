"""The tests of MySQL alone, on whatever pair of backends has it."""

import json

import pytest

from harness import clients
from harness.backend_stores import MYSQL
from harness.stack import Stack
from tests.e2e.support import database_password
from tests.e2e.support.malformed_requests import NUL, Api, problem
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER
from tests.e2e.support.unresponsive_backends import assert_lives_and_comes_back


class OfMysql:
    """Tests for a class that has the fixtures ``stack`` and ``machine``."""

    def test_names_are_equal_only_where_every_letter_is(self, stack: Stack) -> None:
        script = POD_SCRIPTS / "log_like_names.py"
        said = json.loads(stack.kubectl.python(SERVER, script, seconds=60, **stack.client_env()))
        assert said == {
            "name": "🚀 äöü",
            "params": {"lr": "lr 🚀", "LR": "LR 🚀", "loss": "loss 🚀"},
            "metrics": {"lr": 0, "LR": 1, "loss": 2},
            "tags": True,
            "searched": [1, 0, 0, 1],
        }

    def test_first_migration_that_was_killed_is_recovered_unless_there_is_data(
        self, stack: Stack
    ) -> None:
        with MYSQL.another(stack.kubectl, "half"):
            said = stack.kubectl.python(SERVER, POD_SCRIPTS / "migrate_cut_short.py", seconds=180)
        report = json.loads(said.splitlines()[-1])
        assert report["killed"]["code"] == -9
        assert "secrets" in report["left"]
        assert report["triggers"] == []

        *_, line = report["refused"]["said"]
        assert report["refused"]["code"] == 1
        assert line.startswith(
            f"error: cannot migrate the database at mysql.{stack.namespace}.svc:3306: "
        )
        assert "Table 'secrets' already exists" in line
        assert "nothing was dropped, for there is data (in experiments)" in line
        assert (report["untouched"], report["kept"]) == (True, 1)

        assert report["recovered"]["code"] == 0
        assert "it holds no data" in "".join(report["recovered"]["said"])
        assert report["equal"]
        for run in ("killed", "refused", "recovered"):
            assert "Traceback" not in "".join(report[run]["said"])
            assert not report[run]["password"]

    def test_a_nul_byte_is_refused_in_every_field_that_is_written(self, stack: Stack) -> None:
        """MySQL itself keeps it."""
        with stack.kubectl.forwarded("service/mlflow", 5000) as port:
            api = Api(stack, port)
            texts = [field for field in api.fields if field.text and field.verb != "GET"]
            answers = {str(field): api.send(field, NUL) for field in texts}
        assert {field: problem(one) for field, one in answers.items() if problem(one)} == {}
        assert answers["POST /api/2.0/mlflow/runs/log-parameter value"][0] == 400

    @pytest.mark.long
    @pytest.mark.parametrize("harm", ["users locked", "database stopped"])
    def test_a_server_lives_while_the_database_is_sick(self, stack: Stack, harm: str) -> None:
        with stack.kubectl.forwarded("service/mlflow", 5000) as port:
            assert_lives_and_comes_back(stack, port, harm)

    @pytest.mark.long
    def test_its_password_can_be_replaced(self, stack: Stack, machine: clients.Machine) -> None:
        database_password.assert_can_be_replaced(stack)
        machine.run("first_run.py", client_env=stack.client_env(), seconds=120)
