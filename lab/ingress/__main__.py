"""``python -m lab.ingress``: run the ingress controller on the node's address, until SIGTERM."""

import fcntl
import logging
import os
import signal
import sys
from types import FrameType

from lightkube import Client
from lightkube.core.exceptions import ConfigError

from lab import packages, paths
from lab.ingress import PACKAGES
from lab.ingress.config import Listen
from lab.ingress.controller import Controller
from lab.ingress.front import Front
from lab.ingress.nginx import Nginx
from lab.progress import LabError


def main() -> None:
    """Run until SIGTERM, and leave no nginx behind."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    # Every request to the API server is worth a line to this one.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    packages.need(*PACKAGES)
    nginx = Nginx(paths.NODE_DIR / "ingress")
    with (nginx.prefix / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"an ingress controller already runs in {nginx.prefix}") from None
        try:
            listen = Listen(paths.NODE_ADDRESS, source=paths.INGRESS_ADDRESS)
            front = Front(nginx, listen, root=os.geteuid() == 0)
            Controller(Client(), nginx, front, paths.NODE_ADDRESS).run()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            nginx.stop()


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    try:
        main()
    except (LabError, ConfigError) as error:
        sys.exit(f"ingress: {error}")
