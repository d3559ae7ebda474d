"""What is claimed of every database with every store: a class that names two runs all of it."""

import json
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import pytest

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness import clients
from harness.backend_stores import Database
from harness.kubectl import restarts
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support import backend_rights, secret_search
from tests.e2e.support.artifact_stores import Store
from tests.e2e.support.interruptions import Logger, delete_pod
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

    def test_servers_user_and_key_may_do_what_the_server_needs_and_no_more(
        self, stack: Stack
    ) -> None:
        for backend in (self.database.name, self.store.name):
            backend_rights.assert_least(stack, backend)
        backend_rights.assert_holds_no_more(stack)

    def test_nothing_acknowledged_is_lost(self, stack: Stack, machine: clients.Machine) -> None:
        process = machine.start("log_until_told.py", client_env=stack.client_env())
        try:
            logger = Logger(process)
            for app in (self.database.name, *self.store.pods, "mlflow"):
                logger.logs_again()
                delete_pod(stack.kubectl, app)
                wait_until(partial(stack.kubectl.is_ready, app), 120, f"{app} is ready again")
            logger.logs_again()
            report = json.loads(logger.finish())
        finally:
            process.kill()
            process.wait()
        print(report)
        assert report["lost"] == {"metric": [], "param": [], "artifact": []}
        stack.change("preview", "--expect-no-changes")

    def test_secrets_are_kept(self, stack: Stack) -> None:
        secret_search.assert_kept(stack)
