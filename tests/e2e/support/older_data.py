"""Data that a released MLflow's own client made, and whether an upgrade keeps all of it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness import clients
from harness.stack import Stack
from tests.e2e.support import tables
from tests.e2e.support.continuous_client import Logger
from tests.e2e.support.users import add_user

_HISTORIES = 100
"""Of about this many runs, the whole history of metrics is read through the API as well."""
# Reading 10,000 runs with their files takes minutes.
_SECONDS = 1800


class OlderData:
    """What a stack on a released MLflow holds, as its users read it, and row by row."""

    def __init__(self, stack: Stack, machine: clients.Machine, release: str, runs: int) -> None:
        """Make the data.

        Args:
            stack: a stack on that release, without data.
            machine: a client of today's MLflow, which reads.
            release: the release of MLflow.
            runs: how many runs to make.
        """
        self._stack, self._machine, self._runs = stack, machine, runs
        self._admin = stack.client_env()
        bob = {"MLFLOW_TRACKING_USERNAME": "bob", "MLFLOW_TRACKING_PASSWORD": "password of bob"}
        self._users = {"alice": add_user(stack, "alice"), "bob": self._admin | bob}
        self.client = replace(machine, venv=clients.released_environment(release))
        """A client of that release."""
        arguments = (f"--runs={runs}", "--user=alice")
        made = self.client.run("make_data.py", *arguments, client_env=self._admin, seconds=_SECONDS)
        print(
            f"{release}: {made['runs']} runs, {made['traces']} traces; seconds: {made['seconds']}"
        )
        print(f"{release} has none of these: {made['skipped']}")
        self._things = made["things"]
        self._allowed = self._access()
        assert self._allowed["alice"]["experiment"] == "done"
        assert self._allowed["bob"]["other experiment"] == "nothing"
        assert self._allowed["bob"]["other prompt"] == "PERMISSION_DENIED"
        self._read, self._rows = self._everything()
        assert len(self._read["runs"]) == runs
        for owner, files in made["files"].items():
            assert _artifacts(self._read, owner) == files

    def assert_kept(self, loggers: Sequence[Logger], *, upgraded: bool = True) -> None:
        """Compare every row, every artifact, every login and every permission.

        Args:
            loggers: the clients that logged meanwhile; what they logged is left out.
            upgraded: whether the tables are those of today's MLflow.
        """
        read, rows = self._everything()
        logged: list[str] = []
        for report in (logger.report for logger in loggers):
            assert read["runs"].pop(report["run_id"])
            logged += [report["run_id"], *report["trace_ids"]]
        for trace in logged:
            read["traces"].pop(trace, None)
        # pytest shows no values of a module that is no test.
        found = tables.differences(self._rows, rows, ignored=logged, upgraded=upgraded)
        assert not found, found
        found = [*_differing(self._read, read), *_differing(self._allowed, self._access())]
        assert not found, found
        count = sum(len(table.rows) for table in self._rows.values())
        print(f"equal: {count} rows of {len(self._rows)} tables, {len(self._read['runs'])} runs")

    def _everything(self) -> tuple[Any, tables.Tables]:
        command = ("read_everything.py", f"--histories={_HISTORIES / self._runs}")
        read = self._machine.run(*command, client_env=self._admin, seconds=_SECONDS)
        return read, tables.read(self._stack.kubectl)

    def _access(self) -> dict[str, Any]:
        command = ("try_access.py", json.dumps(self._things))
        return {
            user: self._machine.run(*command, client_env=env, seconds=60)
            for user, env in self._users.items()
        }


def _differing(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Yield one line for each value that is not as before."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _differing(before.get(key), after.get(key), f"{place}/{key}")
    elif before != after:
        yield f"{place}: {after!r}, before {before!r}"


def _artifacts(everything: Any, owner: str) -> Any:
    """Return the sha256 of each artifact of a run or a logged model."""
    place = "logged models" if owner in everything["logged models"] else "runs"
    return everything[place][owner]["artifacts"]
