"""A plugin of the pods' network: tells the enforcer of a pod, and waits until it is protected.

It is a program of its own, on Python alone: https://github.com/containernetworking/cni/blob/main/SPEC.md
"""

import json
import os
import socket
import sys
import time
from pathlib import Path

_VERSION = "0.4.0"


def main() -> int:
    """Do what the container runtime asks; what is printed is the answer."""
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        print(json.dumps({"cniVersion": _VERSION, "supportedVersions": [_VERSION]}))
        return 0
    configuration = json.load(sys.stdin)
    records = Path(configuration["records"])
    records.mkdir(parents=True, exist_ok=True)
    container = os.environ["CNI_CONTAINERID"]
    if command == "DEL":
        for record in records.iterdir():
            if record.read_text().endswith(f" {container}"):
                record.unlink()
    if command == "ADD":
        result = configuration["prevResult"]
        for one in result["ips"]:
            _record(records / one["address"].partition("/")[0], container)
        try:
            _wait_until_protected(configuration["socket"], configuration["seconds"])
        except OSError as error:
            message = f"no network policies are enforced: {error}"
            print(json.dumps({"cniVersion": _VERSION, "code": 11, "msg": message}))
            return 1
        print(json.dumps(result))
    return 0


def _record(file: Path, container: str) -> None:
    words = dict(word.split("=", 1) for word in os.environ["CNI_ARGS"].split(";"))
    unfinished = file.with_name(f".{file.name}")
    name = f"{words['K8S_POD_NAMESPACE']}/{words['K8S_POD_NAME']}"
    unfinished.write_text(f"{name} {container}")
    unfinished.replace(file)


def _wait_until_protected(path: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as enforcer:
                enforcer.settimeout(seconds)
                enforcer.connect(path)
                if enforcer.recv(16) == b"done":
                    return
            raise ConnectionError("the enforcer gave up")
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
