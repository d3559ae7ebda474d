"""A stack with a namespace of its own, of which nothing is left at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands.support.cluster import Cluster
from harness.backend_stores import POSTGRES, Database
from harness.kubectl import Kubectl, inventory, wait_for_nothing_more_than
from harness.programs import CLONE
from harness.stack import Stack
from tests.e2e.support import secret_search


@contextmanager
def temporary_stack(
    cluster: Cluster,
    folder: Path,
    namespace: str,
    database: Database = POSTGRES,
    clone: Path = CLONE,
) -> Iterator[Stack]:
    """Have a stack that is not up yet; destroy it at the end, and look whether nothing is left.

    The stack has the program of ``clone``, which is this clone or one of another version.
    """
    kubectl = Kubectl(cluster.environment, namespace)
    # A run that was killed may have left its namespace.
    kubectl("delete", "namespace", namespace, "--ignore-not-found", seconds=180)
    before = inventory(kubectl)
    stack = Stack.create(folder, cluster.environment, namespace, database, clone)
    try:
        yield stack
        stack.secrets |= stack.generated_secrets()
    finally:
        stack.remove()
    assert stack.resources() == []
    secret_search.assert_destroy_gave_nothing_away(stack)
    wait_for_nothing_more_than(kubectl, before, 60)
