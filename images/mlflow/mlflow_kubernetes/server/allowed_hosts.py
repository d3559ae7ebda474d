"""Names, addresses and networks that a Host header may name."""

import ipaddress
import re
from fnmatch import fnmatchcase
from typing import Any

_HEADER = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?"
)
# No address to Python, but a setting that stacks have.
_PATTERN_OF_ADDRESSES = re.compile(r"(?:[0-9]{1,3}\.){1,3}\*")


class Allowed:
    """Names, patterns of names (`*.example.com`), addresses and networks, with commas between.

    Each may end in a port; without one, or with `:*`, it stands for all ports.
    """

    def __init__(self, text: str) -> None:
        self._networks: list[tuple[Any, str]] = []
        self._names: list[tuple[str, str]] = []
        for entry in filter(None, map(str.strip, text.split(","))):
            name, port = _split(entry)
            if network := _network(name):
                self._networks.append((network, port))
            else:
                self._names.append((name.lower(), port))

    def __contains__(self, header: str) -> bool:
        """Say whether a Host header is answered."""
        parts = _HEADER.fullmatch(header)
        if not parts:
            return False
        port = parts["port"] or ""
        try:
            address: Any = ipaddress.ip_address(parts["v6"] or parts["name"])
        except ValueError:
            name = (parts["name"] or "").lower().removesuffix(".")
            return any(
                fnmatchcase(name, pattern) for pattern, of in self._names if of in ("", port)
            )
        address = getattr(address, "ipv4_mapped", None) or address
        if ("*", "") in self._names:
            return True
        return any(address in network for network, of in self._networks if of in ("", port))


def _split(entry: str) -> tuple[str, str]:
    """Return an entry's name and its port, which is empty for all of them."""
    bracketed = re.fullmatch(r"\[(.+)\](?::(\*|[0-9]+))?", entry)
    plain = re.fullmatch(r"([^:]+)(?::(\*|[0-9]+))?", entry)
    parts = bracketed or plain
    # What is left is an IPv6 address or network without brackets.
    name, port = (parts[1], parts[2] or "") if parts else (entry, "")
    return name, "" if port == "*" else port


def _network(name: str) -> Any:
    if _PATTERN_OF_ADDRESSES.fullmatch(name):
        numbers = name.split(".")[:-1]
        name = f"{'.'.join([*numbers, *['0'] * (4 - len(numbers))])}/{8 * len(numbers)}"
    try:
        return ipaddress.ip_network(name)
    except ValueError:
        return None
