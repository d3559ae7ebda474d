"""A cluster ready for tests and measurements, left as it was found."""

from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr
from io import StringIO

from commands.support import images, stack
from commands.support.cluster import Cluster


@contextmanager
def ready() -> Generator[Cluster]:
    """Yield a running cluster that has the stack's images, and stop it if it did not run before."""
    chosen = stack.chosen()
    found = chosen.cluster
    ran_before = found.running()
    try:
        found.start()
        images.provide(found, stack.settings(chosen.name))
        yield found
    finally:
        # Silent, so that the last lines are the result.
        if not ran_before:
            with redirect_stderr(StringIO()):
                found.stop()
