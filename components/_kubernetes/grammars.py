"""Grammars of values that settings and inputs of components have in common.

A grammar takes a text, and returns the text or its normal form. The grammar raises ``ValueError``
if a text is not accepted, and ``Refused`` with the accepted values in words.
"""

import ipaddress
import re

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAME = rf"{LABEL}(\.{LABEL})*"
PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"


class Refused(ValueError):  # noqa: N818 (the user's value is wrong, not the program)
    """A value was refused; the text says which values are accepted."""


def is_name(text: str) -> bool:
    """Return whether Kubernetes accepts a text as an object's name, and DNS as a host's."""
    return len(text) <= 253 and re.fullmatch(NAME, text) is not None


def object_name(text: str) -> str:
    """Accept a text of which ``is_name`` is true."""
    if not is_name(text):
        raise ValueError(text)
    return text


GATEWAY = "<namespace>/<name> of a Gateway, and /<listener> if it has several"


def gateway(text: str) -> str:
    """Accept the names of a Gateway's namespace, of the Gateway, and of one of its listeners."""
    fit = re.fullmatch(rf"{LABEL}/{NAME}(/{NAME})?", text)
    if not fit or any(len(part) > 253 for part in text.split("/")):
        raise ValueError(text)
    return text


HOST = "a DNS name of small letters, such as mlflow.example.com, without port, path or scheme"


def host_name(text: str) -> str:
    """Accept a host name under which a Service is published."""
    # A last part that begins with a digit makes an address, or what some programs read as one.
    if len(text) > 253 or not re.fullmatch(rf"({LABEL}\.)+(?![0-9]){LABEL}", text):
        raise Refused(HOST)
    return text


# The last part begins with a letter: some programs read "10.1" as an address, others as a name.
OUTSIDE_HOST = re.compile(
    r"(?=.{1,253}$)([a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?\.)*"
    r"[a-zA-Z]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?\.?"
)


def check_outside(host: str, accepted: str) -> None:
    """Refuse a host that cannot be a server outside the stack.

    Raises:
        Refused: if the text is no host, or means the pod itself.
    """
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if not OUTSIDE_HOST.fullmatch(host):
            raise Refused(accepted) from None
        itself = f".{host.lower().rstrip('.')}".endswith(".localhost")
    else:
        address = getattr(address, "ipv4_mapped", None) or address
        itself = address.is_loopback or address.is_unspecified
    if itself:
        raise Refused(f"{accepted}; its host is this machine, which in a pod is the pod itself")


NETWORK = "a network without host bits, such as 192.0.2.0/24"


def network(text: str) -> str:
    """Accept an IPv4 or IPv6 network; return the network as Kubernetes writes a CIDR."""
    if not re.fullmatch(r"[0-9a-fA-F.:]+/[0-9.]+", text):
        raise ValueError(text)
    return str(ipaddress.ip_network(text))


# The grammar of SQLAlchemy's addresses. The server's image has these two drivers alone.
_DATABASE_URI = re.compile(
    r"(?P<driver>[\w+]+)://((?P<user>[^:/?#\[\]@\s]+)(:[^/?#\[\]@\s]*)?@)?"
    r"(?P<host>[^:/?@\s\[\]]+|\[[0-9a-fA-F:]+\])?(:(?P<port>[0-9]{1,5}))?"
    r"(/(?P<database>[^/?\s]+)?)?(\?\S*)?",
    re.ASCII,
)
_DRIVERS = ("postgresql+psycopg2", "mysql+pymysql")
DATABASE = f"{' or '.join(_DRIVERS)}://user:password@host:port/database, % for special letters"


def database_uri(text: str, *, with_port: bool = False) -> str:
    """Accept a database's address; ``with_port`` refuses an address that leaves out the port.

    The errors do not have the text, which has a password.
    """
    match = _DATABASE_URI.fullmatch(text)
    if not match or not re.fullmatch("[!-~]+", text):
        raise ValueError
    if match["driver"] not in _DRIVERS:
        raise Refused(f"{DATABASE}; the image has no other driver than these two")
    needed = ("user", "host", *(["port"] if with_port else []), "database")
    if missing := [part for part in needed if not match[part]]:
        raise Refused(f"{DATABASE}; it has no {' and no '.join(missing)}")
    # Host names in some networks have underscores, which DNS's grammar does not allow.
    check_outside(match["host"].replace("_", "x"), DATABASE)
    if match["port"] and not 1 <= int(match["port"]) <= 65535:
        raise Refused(f"{DATABASE}; there are ports from 1 to 65535")
    return text


ENDPOINT = "http:// or https://, a host, and a port if need be, without path or bucket"


def endpoint(text: str) -> str:
    """Accept the URL of an S3 endpoint outside the stack."""
    match = re.fullmatch(rf"https?://(?P<host>[-a-zA-Z0-9.]+|\[[0-9a-fA-F:.]+\])(:{PORT})?", text)
    if not match:
        raise ValueError(text)
    check_outside(match["host"], ENDPOINT)
    return text
