"""The cluster that tests use, where they use one."""

from collections.abc import Iterator

import pytest

from commands import cluster as clusters


@pytest.fixture(scope="session")
def cluster() -> Iterator[clusters.Cluster]:
    """A cluster, found as `make up` finds one; the lab is stopped again if this started it."""
    found = clusters.find()
    ran_before = found.running()
    found.start()
    yield found
    if not ran_before:
        found.stop()


@pytest.fixture(scope="session")
def environment(cluster: clusters.Cluster) -> dict[str, str]:
    """The environment in which `pulumi` and `kubectl` reach the cluster."""
    return cluster.environment
