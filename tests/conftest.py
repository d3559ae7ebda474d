"""Shared by all folders of tests: the cluster, groups that run at once, a table of durations."""

from collections import Counter
from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from commands.support import cluster as clusters

# Without this, a failed assertion in a module that is no test says nothing of its values.
pytest.register_assert_rewrite("tests.e2e.support", "harness")

_ONE_AFTER_THE_OTHER = ("tests/e2e/shared_stack/", "tests/lab/")


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


class _ByStack(LoadScopeScheduling):
    """Gives a process whole groups of tests, in order, where several processes run.

    The modules in tests/e2e/shared_stack use one stack in the order that tests/e2e/conftest.py
    gives, and those in tests/lab use one network, so each of these folders is one group. Every
    other file is a group of its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((one for one in _ONE_AFTER_THE_OTHER if file.startswith(one)), file)


# Not --dist=loadgroup: xdist 3.8 names groups in a private attribute that pytest 9.2 has no more.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Return what divides the tests among processes."""
    return _ByStack(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long the tests of each file took, fixtures included."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += round(report.duration, 1)
    if len(seconds) > 1 and terminalreporter.verbosity >= 0:
        terminalreporter.section("durations by file")
        for file, taken in seconds.most_common():
            terminalreporter.line(f"{taken:7.0f} s  {file}")
