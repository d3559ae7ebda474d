"""Try a database as its check does, under a name that DNS does not know; print all it says.

Runs in the server's pod. KNOWN_AS is a name and its address, as JSON.
"""

import contextlib
import json
import os
import socket
import sys
from typing import Any

from mlflow_kubernetes import check_database

name, address = json.loads(os.environ["KNOWN_AS"])
find = socket.getaddrinfo


def getaddrinfo(host: Any, *given: Any, **named: Any) -> Any:
    return find(address if host == name else host, *given, **named)


socket.getaddrinfo = getaddrinfo
sys.stderr = sys.stdout
with contextlib.suppress(SystemExit):
    check_database.main()
