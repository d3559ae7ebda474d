"""``python -m lab.policies``: enforce the cluster's network policies on the node, until SIGTERM."""

import logging
import socket
import sys

from lightkube import Client
from lightkube.core.exceptions import ConfigError

from lab.policies import RECORDS, SOCKET
from lab.policies.enforcer import Enforcer
from lab.progress import LabError


def main() -> None:
    """Run for ever; what was enforced stays in force without it, and no pod starts."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    # Every request to the API server is worth a line to this one.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    RECORDS.mkdir(parents=True, exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(SOCKET))
        door.listen(64)
        Enforcer(Client(), RECORDS, door).run()


if __name__ == "__main__":
    try:
        main()
    except (LabError, ConfigError) as error:
        sys.exit(f"policies: {error}")
