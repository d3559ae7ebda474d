"""Run the tests that need a cluster, and what is real beside it: the last part of `make test`."""

import sys

from commands import ground
from commands._main import main, stream


def command() -> int:
    """Run pytest once over all of them; the unit tests have run before anything was built."""
    with ground.ready() as cluster:
        parts = ("rendered", "scan", "plugins", "lab", "hdfs", "e2e")
        chosen = sys.argv[1:] or [f"tests/{part}" for part in parts]
        return stream([sys.executable, "-m", "pytest", *chosen], cluster.environment)


if __name__ == "__main__":
    main(command)
