"""Measure times and memory on a real cluster: `make bench`."""

import sys

from commands import ground
from commands._main import main, stream


def command() -> int:
    """Run the measurements, which print their table themselves."""
    with ground.ready() as cluster:
        return stream([sys.executable, "-m", "bench"], cluster.environment)


if __name__ == "__main__":
    main(command)
