"""The tests of every database with every store: a class that names a pair runs all of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.backend_stores import Database
from harness.kubectl import restarts
from harness.stack import Stack
from tests.e2e.support import (
    acknowledged,
    backend_rights,
    backups,
    garbage_collection,
    secret_search,
)
from tests.e2e.support.artifact_stores import Store
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER
from tests.e2e.support.temporary_stack import temporary_stack
from tests.e2e.support.this_machine import machine_of
from tests.e2e.support.training_job import MEDIUM, SMALL, assert_all_came_back, job


class Pair:
    """A stack on two backends, which is made for the class and leaves nothing behind."""

    database: ClassVar[Database]
    store: ClassVar[Store]

    @pytest.fixture(scope="class")
    @classmethod
    def stack(
        cls,
        cluster: Cluster,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[Stack]:
        """A stack that is told apart from any other by its names and two settings."""
        database, store = cls.database, cls.store
        chosen = {"backendStore": database.name, "artifactStore": store.name}
        images.provide(cluster, stacks.settings("minikube", **chosen))
        namespace = f"mlflow-e2e-{database.name}-{store.name}"
        folder = tmp_path_factory.mktemp("pair")
        with temporary_stack(cluster, folder, namespace, database) as stack:
            stack.set(**chosen)
            stack.change("up")
            yield stack

    @pytest.fixture(scope="class")
    @classmethod
    def machine(cls, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> clients.Machine:
        return machine_of(stack, tmp_path_factory.mktemp("home"))

    def test_there_is_nothing_more_to_do_and_nothing_was_restarted(self, stack: Stack) -> None:
        for command in ("up", "preview", "refresh"):
            stack.change(command, "--expect-no-changes")
        # Beside the backends the server, and two Jobs that have done their work.
        pods = 1 + len(self.store.pods) + 3
        assert [restarts(pod) for pod in stack.kubectl.items("pods")] == [0] * pods
        assert stack.kubectl.is_ready(self.database.name)
        root = self.store.root.format(namespace=stack.namespace)
        assert stack.outputs()["artifact_root"] == root

    def test_client_does_all_its_work(self, stack: Stack, machine: clients.Machine) -> None:
        report = job(machine, "pair", stack.client_env(), SMALL, MEDIUM)
        print(report["artifacts"])
        assert_all_came_back(report, SMALL, MEDIUM)

    def test_runs_are_written_as_by_mlflow_itself(self, stack: Stack) -> None:
        script = POD_SCRIPTS / "compare_stores.py"
        report = json.loads(stack.kubectl.python(SERVER, script, "10", seconds=300))
        assert report["compared"] > 600
        assert report["statements"] == report["expected"]
        assert report["missing indexes"] == []

    def test_backups_are_good(self, stack: Stack, machine: clients.Machine) -> None:
        backups.assert_backups_are_good(stack, machine)

    def test_servers_user_and_key_may_do_what_the_server_needs_and_no_more(
        self, stack: Stack
    ) -> None:
        for backend in (self.database.name, self.store.name):
            backend_rights.assert_least(stack, backend)
        backend_rights.assert_holds_no_more(stack)

    def test_nothing_acknowledged_is_lost(
        self, stack: Stack, machine: clients.Machine, tmp_path: Path
    ) -> None:
        acknowledged.assert_nothing_is_lost(stack, machine, tmp_path, acknowledged.ends)
        stack.change("preview", "--expect-no-changes")

    def test_secrets_are_kept(self, stack: Stack) -> None:
        secret_search.assert_kept(stack)

    def test_what_was_deleted_can_be_removed_for_good(
        self, stack: Stack, machine: clients.Machine
    ) -> None:
        garbage_collection.assert_collects(stack, machine)
