"""Try to connect: told on standard input from where and to what, answer what became of each."""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

# RFC 1035: a number, "recursion desired", one question: the root, type NS, class IN.
QUESTION = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"


def reached(source: str, address: str, port: int, protocol: str) -> bool:
    """Say whether packets get there; a port that nobody listens on answers as well."""
    udp = protocol == "UDP"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        probe.settimeout(3)
        if source:
            probe.bind((source, 0))
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
        print(
            json.dumps(list(threads.map(lambda one: reached(asked["source"], *one), asked["to"])))
        )


if __name__ == "__main__":
    main()
