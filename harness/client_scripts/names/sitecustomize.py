"""Resolve the names in E2E_HOSTS as a hosts file would, for one process instead of a whole machine.

E2E_HOSTS is written as hosts files are: `<address> <name> <name>...`, one or more lines.
"""

import os
import socket
from typing import Any

_addresses = {
    name: line.split()[0]
    for line in os.environ.get("E2E_HOSTS", "").splitlines()
    for name in line.split()[1:]
}
_resolve = socket.getaddrinfo


def _resolve_as_in_hosts_file(host: Any, *args: Any, **kwargs: Any) -> Any:
    return _resolve(_addresses.get(host, host), *args, **kwargs)


socket.getaddrinfo = _resolve_as_in_hosts_file
