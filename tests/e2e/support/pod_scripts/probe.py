"""Try to connect to each target that standard input lists; print which of them answered."""

import json
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

# RFC 1035: a number, "recursion desired", one question: the root, type NS, class IN.
QUESTION = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"


# Takes every ICMP message of this network, before the program that it is for is told.
MESSAGES = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
LOCK = threading.Lock()
refused: set[int] = set()
"""Our ports for which an ICMP error came."""


def refused_on_the_way(port: int) -> bool:
    """Say whether an ICMP error refused what came from our port; a closed TCP port sends none."""
    with LOCK:
        while True:
            try:
                message = MESSAGES.recv(512, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return port in refused
            # RFC 792: after both headers, what was sent: its IP header, and first its source port.
            sent = message[(message[0] & 15) * 4 + 8 :]
            refused.add(int.from_bytes(sent[(sent[0] & 15) * 4 :][:2]) if sent else 0)


def reached(address: str, port: int, protocol: str) -> bool:
    """Say whether packets get there; a TCP port that nobody listens on answers as well."""
    udp = protocol == "UDP"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        probe.settimeout(3)
        probe.bind(("", 0))
        try:
            probe.connect((address, port))
            if udp:
                probe.send(QUESTION)
                probe.recv(512)
        except ConnectionRefusedError:
            return not udp and not refused_on_the_way(probe.getsockname()[1])
        except OSError:
            return False
        return True


def main() -> None:
    asked = json.load(sys.stdin)
    with ThreadPoolExecutor(32) as threads:
        print(json.dumps(list(threads.map(lambda one: reached(*one), asked))))


if __name__ == "__main__":
    main()
