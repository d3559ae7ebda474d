"""Try to connect to each target that standard input lists; print which of them answered."""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

# RFC 1035: a number, "recursion desired", one question: the root, type NS, class IN.
QUESTION = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"


def reached(address: str, port: int, protocol: str) -> bool:
    """Say whether packets get there; a port that nobody listens on answers as well."""
    udp = protocol == "UDP"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        probe.settimeout(3)
        try:
            probe.connect((address, port))
            if udp:
                probe.send(QUESTION)
                probe.recv(512)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True


def main() -> None:
    asked = json.load(sys.stdin)
    with ThreadPoolExecutor(32) as threads:
        print(json.dumps(list(threads.map(lambda one: reached(*one), asked))))


if __name__ == "__main__":
    main()
