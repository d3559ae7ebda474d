"""Run every test, the end-to-end ones on a real cluster: `make test`."""

import os
import shutil
import sys

from commands import ground
from commands._main import main, stream
from lab import packages


def command() -> int:
    """Run pytest once over all, so that its closing line counts all."""
    with ground.ready() as cluster:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            packages.need("chromium", "chromium-driver", "nginx-light")
        chosen = sys.argv[1:] or ["tests/unit", "tests/plugins", "tests/e2e"]
        return stream([sys.executable, "-m", "pytest", *chosen], cluster.environment)


if __name__ == "__main__":
    main(command)
