"""What a member asks of the Kubernetes API beside Patroni: the record of the members, and pods."""

import json
import os
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts the token, and the certificate of the API server's authority."""
PORT_NAME = "patroni"
"""Name of the port that the pod of a single server does not have."""
_SECONDS = 5


class Cluster:
    """The Kubernetes API, for the members of one database.

    Every call raises ``OSError`` where the API server does not answer, or refuses.

    Args:
        namespace: namespace of the members.
        scope: name of the database, with which the names of its pods and of its record begin.
        folder: where the token is.
    """

    def __init__(self, namespace: str, scope: str, folder: Path = FOLDER) -> None:
        self._core = f"/api/v1/namespaces/{namespace}"
        self._scope = scope
        self._folder = folder

    def record(self) -> dict[str, str]:
        """Return what Patroni has noted of all members: ``initialize`` and ``config``."""
        found = self._ask("GET", self._record)
        annotations: dict[str, str] = found["metadata"].get("annotations") or {}
        return annotations

    def note(self, changes: Mapping[str, str | None]) -> None:
        """Change the record; None takes an entry away."""
        self._ask("PATCH", self._record, {"metadata": {"annotations": changes}})

    def has_single_server(self) -> bool:
        """Return whether the first pod is still that of a single server, without Patroni."""
        picked = quote(f"metadata.name={self._scope}-0")
        found = self._ask("GET", f"{self._core}/pods?fieldSelector={picked}")["items"]
        return any(
            "deletionTimestamp" not in pod["metadata"]
            and not any(
                port.get("name") == PORT_NAME
                for container in pod["spec"]["containers"]
                for port in container.get("ports", [])
            )
            for pod in found
        )

    def take_label(self, label: str, value: str, *, keeps: str) -> list[str]:
        """Take a label away from all members but one; return the names of the others that had it.

        Args:
            label: name of the label.
            value: its value.
            keeps: the member that keeps it.
        """
        picked = quote(f"app.kubernetes.io/instance={self._scope},{label}={value}")
        pods = self._ask("GET", f"{self._core}/pods?labelSelector={picked}")["items"]
        names = [pod["metadata"]["name"] for pod in pods]
        others = [name for name in names if name != keeps]
        for name in others:
            change = {"metadata": {"labels": {label: None}}}
            self._ask("PATCH", f"{self._core}/pods/{name}", change)
        return others

    @property
    def _record(self) -> str:
        return f"{self._core}/configmaps/{self._scope}-config"

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
        address = f"[{host}]" if ":" in host else host
        # The kubelet renews the token. No proxy leads to the API server.
        headers = {"Authorization": f"Bearer {(self._folder / 'token').read_text().strip()}"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        # Of a kind that asks for no more than Patroni does: see sitecustomize.py.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=str(self._folder / "ca.crt"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        request = urllib.request.Request(
            f"https://{address}:{port}{path}",
            None if body is None else json.dumps(body).encode(),
            headers,
            method=method,
        )
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read())
