"""A reader of the documents, who copies their blocks into a shell."""

import json
import subprocess
from typing import Any

from harness import clients
from harness.programs import run
from harness.stack import Stack
from tests.documents import block

_ADD_USER = block("README.md, Log in and add users, 1")


class Reader:
    """Somebody who copies blocks into a shell, in the clone, on a machine with a client."""

    def __init__(self, stack: Stack, machine: clients.Machine) -> None:
        self._admins = dict(stack.environment)
        self._clients = machine.environment({})
        # Both: `make` runs the programs of the first, and a client is found in the second.
        self._clients["PATH"] = f"{clients.VENV / 'bin'}:{self._admins['PATH']}"

    def run(self, script: str, *, admin: bool = False) -> subprocess.CompletedProcess[str]:
        """Run what was copied; an admin's shell finds the stack, and another one does not."""
        environment = {**self._clients, **(self._admins if admin else {})}
        environment["PATH"] = self._clients["PATH"]
        return run(["bash", "-euo", "pipefail", "-c", script], environment, seconds=180)

    def report(self, script: str, *, admin: bool = False) -> Any:
        """Run what was copied, and return its last line, which is JSON."""
        return json.loads(self.run(script, admin=admin).stdout.splitlines()[-1])

    def add_user(self, name: str) -> str:
        """Make a user as README says, and return what is printed for that user's shell."""
        said = self.run(_ADD_USER.replace(" alice", f" {name}"), admin=True)
        # Nothing but what a user needs is said, warnings of MLflow's parts for instance.
        assert said.stderr == f"user {name} made\n"
        return said.stdout
