"""What every folder of tests uses: the cluster, groups that run at once, a table of durations."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from commands import cluster as clusters

_SHARES_THE_STACK = re.compile(r"tests/e2e/test_\d")


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test for `--dist=loadgroup`: one process runs a group in order.

    The files tests/e2e/test_<number>_*.py share one stack and run in the order of their names, so
    they are one group. Each other file is a group of its own.
    """
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = "shared stack" if _SHARES_THE_STACK.match(file) else file
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long the tests of each file took, fixtures included."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += round(report.duration, 1)
    if len(seconds) > 1 and not terminalreporter.config.option.quiet:
        terminalreporter.section("durations by file")
        for file, taken in seconds.most_common():
            terminalreporter.line(f"{taken:7.0f} s  {file}")
