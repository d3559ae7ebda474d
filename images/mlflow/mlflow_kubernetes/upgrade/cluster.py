"""What the migration Job asks of the Kubernetes API: its Deployment, its pods, its record.

A client of 60 lines: the official package `kubernetes` would add 30 MB and five packages to the
image for four requests.
"""

import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mlflow_kubernetes import contract
from mlflow_kubernetes.support.environment import one_line, required

_FIELD_MANAGER = "mlflow-migration"
_REQUEST_SECONDS = 10
_PATIENCE_SECONDS = 30
"""How long an API server that does not answer is asked again: a control plane that restarts."""


class ClusterError(Exception):
    """The Kubernetes API cannot be asked, or refuses."""


class Cluster:
    """The Kubernetes API, for one Deployment.

    Args:
        folder: where Kubernetes mounted the token of the pod's ServiceAccount, `ca.crt`,
            `namespace` and `job`, the uid of the pod's Job.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._deployment = required(contract.DEPLOYMENT)
        self._record = required(contract.RECORD)
        namespace = (folder / "namespace").read_text().strip()
        self._core = f"/api/v1/namespaces/{namespace}"
        self._apps = f"/apis/apps/v1/namespaces/{namespace}"

    @classmethod
    def of_pod(cls) -> "Cluster | None":
        """Return the API that this pod may ask; None where the pod has no token for it."""
        folder = Path(os.environ.get(contract.API_FOLDER, "/nowhere"))
        return cls(folder) if (folder / "token").exists() else None

    @property
    def job(self) -> str:
        """The uid of this pod's Job."""
        return (self._folder / "job").read_text().strip()

    def replicas(self) -> int | None:
        """Return how many pods the Deployment asks for; None where there is no Deployment."""
        scale = self._ask("GET", self._scale, absent_is_none=True)
        return None if scale is None else int(scale["spec"].get("replicas", 0))

    def scale(self, replicas: int) -> None:
        """Have the Deployment ask for that many pods."""
        self._patch(self._scale, {"spec": {"replicas": replicas}})

    def pods(self) -> list[dict[str, Any]]:
        """Return the Deployment's pods that have not ended."""
        picked = f"app.kubernetes.io%2Finstance%3D{self._deployment}"
        picked += ",app.kubernetes.io%2Fname%3Dmlflow"
        listed: Any = self._ask("GET", f"{self._core}/pods?labelSelector={picked}")
        return [
            pod
            for pod in listed["items"]
            if pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]

    def note(self, key: str, value: str) -> None:
        """Write one key of the ConfigMap with the record."""
        self._patch(f"{self._core}/configmaps/{self._record}", {"data": {key: value}})

    @property
    def _scale(self) -> str:
        return f"{self._apps}/deployments/{self._deployment}/scale"

    def _patch(self, path: str, change: Mapping[str, Any]) -> None:
        self._ask("PATCH", f"{path}?fieldManager={_FIELD_MANAGER}", change)

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        absent_is_none: bool = False,
    ) -> Any:
        """Return the answer of the API server, which is asked again while it does not answer."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._ask_once(method, path, body)
            except urllib.error.HTTPError as error:
                if absent_is_none and error.code == HTTPStatus.NOT_FOUND:
                    return None
                why = f"HTTP {error.code}: {_words(error)}"
                passes = error.code == HTTPStatus.TOO_MANY_REQUESTS or error.code >= 500
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = one_line(getattr(error, "reason", None) or error) or type(error).__name__
                passes = True
            if not passes or time.monotonic() > deadline:
                raise ClusterError(
                    f"the Kubernetes API ({self._address}) does not do {method} "
                    f"{path.partition('?')[0]}: {why}"
                )
            time.sleep(1)

    @property
    def _address(self) -> str:
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
        host = f"[{host}]" if ":" in host else host
        return f"https://{host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"

    def _ask_once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        # The kubelet renews the token. No proxy leads to the API server.
        headers = {"Authorization": f"Bearer {(self._folder / 'token').read_text().strip()}"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        # Python 3.13 refuses authorities without some extensions, and clusters have such ones.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 (the address begins with https)
            self._address + path, content, headers, method=method
        )
        with opener.open(request, timeout=_REQUEST_SECONDS) as answer:
            return json.loads(answer.read())


def _words(error: urllib.error.HTTPError) -> str:
    """Return the reason that the API server gives."""
    said = error.read().decode(errors="replace")
    try:
        return one_line(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        return one_line(said)[:200]
