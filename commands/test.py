"""Run every test, the end-to-end ones on a real cluster: `make test`."""

import sys

from commands import ground
from commands._main import main, stream


def command() -> int:
    """Run pytest once over all, so that its closing line counts all."""
    with ground.ready() as cluster:
        parts = ("unit", "plugins", "lab", "hdfs", "e2e")
        chosen = sys.argv[1:] or [f"tests/{part}" for part in parts]
        return stream([sys.executable, "-m", "pytest", *chosen], cluster.environment)


if __name__ == "__main__":
    main(command)
