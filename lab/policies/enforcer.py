"""Watches the cluster, and keeps the kernel's packet filter true to its network policies."""

import logging
import queue
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightkube import Client
from lightkube.resources.core_v1 import Namespace
from lightkube.resources.core_v1 import Pod as PodResource
from lightkube.resources.networking_v1 import NetworkPolicy

from lab import paths
from lab.changes import RETRY_SECONDS, Changes
from lab.policies.rules import Cluster, Pod, render
from lab.progress import LabError

_DEBOUNCE_SECONDS = 0.2
_RESYNC_SECONDS = 60
_WATCHED: list[tuple[type[Any], dict[str, Any]]] = [
    (NetworkPolicy, {"namespace": "*"}),
    (Namespace, {}),
    (PodResource, {"namespace": "*"}),
]
DNS_SERVER = Pod(
    "kube-system",
    {"k8s-app": "kube-dns"},
    paths.NODE_ADDRESS,
    only=frozenset({("TCP", 53), ("UDP", 53)}),
)
"""The DNS server: a pod on minikube, a process of the node here."""

log = logging.getLogger("policies")


class Enforcer:
    """Enforces the cluster's network policies until it is told to end."""

    def __init__(self, client: Client, records: Path, door: socket.socket) -> None:
        self._changes = Changes(client, _WATCHED)
        self._records = records
        self._door = door
        self._waiting: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._enforced = ""

    def run(self) -> None:
        """Enforce for ever."""
        self._changes.start()
        threading.Thread(target=self._listen, daemon=True).start()
        trouble = ""
        while True:
            # Whoever waits from now on has written its record, which is read below.
            asking = [self._waiting.get() for _ in range(self._waiting.qsize())]
            try:
                self._enforce()
                answer, trouble = b"done", ""
            except Exception as error:  # no bad moment may take down what is being enforced
                if str(error) != trouble:
                    trouble = str(error)
                    log.warning("trying again: %s: %s", type(error).__name__, trouble)
                answer = b""
                time.sleep(RETRY_SECONDS)
            for plugin in asking:
                with plugin:
                    _tell(plugin, answer)
            self._rest(impatient=bool(trouble))

    def _rest(self, *, impatient: bool) -> None:
        """Wait for a change, or until it is time to look anyway."""
        if not impatient:
            self._changes.seen.wait(timeout=_RESYNC_SECONDS)
        if self._waiting.empty():
            time.sleep(_DEBOUNCE_SECONDS)
        self._changes.seen.clear()

    def _listen(self) -> None:
        while True:
            plugin, _ = self._door.accept()
            self._waiting.put(plugin)
            self._changes.seen.set()

    def _enforce(self) -> None:
        """Bring the packet filter up to what the cluster wants."""
        # The records first: a pod whose address is known is in the list that comes after.
        addresses = _addresses(self._records)
        policies, namespaces, found = self._changes.read()
        pods = {f"{one.metadata.namespace}/{one.metadata.name}": one for one in found}
        cluster = Cluster(
            policies=policies,
            namespaces={one.metadata.name: one.metadata.labels or {} for one in namespaces},
            pods=[
                _pod(pods[name], address)
                for address, name in sorted(addresses.items())
                if name in pods
            ],
            range=paths.POD_RANGE,
        )
        text = render(cluster, [DNS_SERVER])
        if text != self._enforced:
            _load(text)
            self._enforced = text


def _load(text: str) -> None:
    """Replace the whole table at once, or leave it as it is."""
    done = subprocess.run(
        ["nft", "--file", "-"], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        # What is wrong is said first, and then shown.
        raise LabError(f"nft refuses the rules: {' '.join(done.stderr.split())[:300]}")


def _addresses(records: Path) -> dict[str, str]:
    """Return whose each address is, as `namespace/name`."""
    found = {}
    for file in records.iterdir():
        if not file.name.startswith("."):
            with suppress(FileNotFoundError):  # the pod ended just now
                found[file.name] = file.read_text().split()[0]
    return found


def _pod(pod: Any, address: str) -> Pod:
    ports = [port for container in pod.spec.containers for port in container.ports or []]
    return Pod(
        pod.metadata.namespace,
        pod.metadata.labels or {},
        address,
        {(port.name, port.protocol or "TCP"): port.containerPort for port in ports if port.name},
    )


def _tell(plugin: socket.socket, answer: bytes) -> None:
    try:
        plugin.sendall(answer)
    except OSError:
        log.debug("a plugin did not wait for its answer")
