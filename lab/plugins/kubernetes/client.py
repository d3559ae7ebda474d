"""A small Kubernetes client: any kind of object as plain JSON, found by API discovery."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import yaml
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from lab.plugins.wire import Failure

Object = dict[str, Any]


class ApiError(Failure):
    """What the API server answered when it refused a request."""

    def __init__(self, code: int, status: Object) -> None:
        super().__init__(status.get("message") or f"the API server answered {code}")
        self.code = code
        self.reason = status.get("reason", "")
        self.about = status.get("details", {}).get("kind", "")


class NoSuchKind(Failure):
    """The API server does not know a kind (client-go's NoMatchError)."""


def metadata_of(obj: Object) -> Object:
    """Return an object's metadata; nothing while it is unknown."""
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def name_of(obj: Object) -> str:
    """Return an object's name, or nothing."""
    return _text(metadata_of(obj).get("name"))


def namespace_of(obj: Object) -> str:
    """Return an object's namespace, or nothing."""
    return _text(metadata_of(obj).get("namespace"))


def annotation(obj: Object, key: str) -> str:
    """Return an annotation's text, or nothing."""
    annotations = metadata_of(obj).get("annotations")
    return _text(annotations.get(key)) if isinstance(annotations, dict) else ""


def load_kubeconfig(path_or_text: str) -> Object:
    """Read a kubeconfig that is a path, a document, or (empty) the user's own."""
    given = path_or_text or os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        text = given if "\n" in given or "{" in given else Path(given).expanduser().read_text()
        loaded = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise Failure(f"cannot read the kubeconfig: {error}") from None
    if not isinstance(loaded, dict):
        raise Failure("the kubeconfig is not a YAML document with clusters and contexts")
    return loaded


def active_cluster(config: Object, context: str, cluster: str) -> Object | None:
    """Return the cluster entry that a kubeconfig, with overrides, points at."""
    contexts = {c["name"]: c["context"] for c in config.get("contexts") or []}
    clusters = {c["name"]: c["cluster"] for c in config.get("clusters") or []}
    chosen = contexts.get(context or config.get("current-context"), {})
    found = clusters.get(cluster or chosen.get("cluster"))
    return found if chosen else None


class Cluster:
    """A connection to one cluster, as a kubeconfig and the provider's overrides say."""

    def __init__(self, kubeconfig: str, context: str, cluster: str, namespace: str) -> None:
        try:
            loaded = KubeConfig.from_dict(load_kubeconfig(kubeconfig))
            single = loaded.get(context or None)
            if single is None:
                raise Failure("the kubeconfig has no current context")
            if cluster:
                single = single._replace(cluster=loaded.clusters[cluster])
        except (ConfigError, KeyError, TypeError) as error:
            raise Failure(f"the kubeconfig cannot be used: {error}") from None
        self.namespace = namespace or single.context.namespace or "default"
        self._http = self._connect(single)
        self._kinds: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def _connect(single: SingleConfig) -> httpx.Client:
        timeout = httpx.Timeout(60, connect=10, pool=None)
        client = Client(single, ConnectionParams(timeout=timeout, trust_env=False))
        client.headers["User-Agent"] = "mlflow-kubernetes-lab"
        return client

    def request(
        self,
        method: str,
        path: str,
        body: Object | list[Object] | None = None,
        content: str = "application/json",
        parameters: dict[str, str] | None = None,
    ) -> Any:
        """Send a request and return the JSON answer, or the text of a log."""
        for pause in (1, 3, 0) if method == "GET" else (0,):  # a restarted server loses no wait
            try:
                response = self._http.request(
                    method, path, json=body, params=parameters, headers={"Content-Type": content}
                )
                break
            except httpx.HTTPError as error:
                if not pause:
                    raise Failure(f"the Kubernetes API server does not answer: {error!r}") from None
                time.sleep(pause)
        if "json" not in response.headers.get("Content-Type", ""):
            answer: Any = response.text
            status: Object = {"message": response.text}
        else:
            answer = status = response.json()
        if response.is_error:
            raise ApiError(response.status_code, status)
        return answer

    def _resources(self, api_version: str, *, again: bool = False) -> dict[str, Object]:
        with self._lock:
            if again or api_version not in self._kinds:
                prefix = "/api/" if "/" not in api_version else "/apis/"
                try:
                    found = self.request("GET", prefix + api_version)["resources"]
                except ApiError as error:
                    if error.code != 404:
                        raise
                    found = []
                self._kinds[api_version] = {r["kind"]: r for r in found if "/" not in r["name"]}
            return self._kinds[api_version]

    def kind(self, api_version: str, kind: str) -> Object:
        """Return what discovery says of a kind."""
        api_version = api_version.removeprefix("core/")
        known = self._resources(api_version).get(kind)
        known = known or self._resources(api_version, again=True).get(kind)
        if known is None:
            raise NoSuchKind(
                f'no matches for kind "{kind}" in version "{api_version}": the API server has no '
                "such kind; is a custom resource definition missing?"
            )
        return known

    def path(self, obj: Object, name: str | None = "") -> str:
        """Return where an object lives; with no name, where its kind lives."""
        api_version = str(obj["apiVersion"]).removeprefix("core/")
        resource = self.kind(api_version, obj["kind"])
        parts = ["/api" if "/" not in api_version else "/apis", api_version]
        if resource["namespaced"]:
            parts += ["namespaces", namespace_of(obj) or self.namespace]
        parts.append(resource["name"])
        if name is not None:
            parts.append(name or name_of(obj))
        return "/".join(parts)

    def get(self, obj: Object, name: str = "") -> Object:
        """Read an object."""
        answer: Object = self.request("GET", self.path(obj, name))
        return answer

    def list(self, api_version: str, kind: str, namespace: str, **parameters: str) -> list[Object]:
        """List a namespace's objects of a kind."""
        probe = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}
        items = self.request("GET", self.path(probe, None), parameters=parameters)["items"]
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    def create(self, obj: Object, manager: str, *, preview: bool) -> Object:
        """Create an object; one that exists is an error."""
        parameters = {"fieldManager": manager} | _dry(preview)
        answer: Object = self.request("POST", self.path(obj, None), obj, parameters=parameters)
        return answer

    def apply(self, obj: Object, manager: str, *, force: bool, preview: bool) -> Object:
        """Apply an object on the server side."""
        parameters = {"fieldManager": manager, "force": str(force).lower()} | _dry(preview)
        content = "application/apply-patch+yaml"  # JSON is YAML
        answer: Object = self.request("PATCH", self.path(obj), obj, content, parameters)
        return answer

    def delete(self, obj: Object, name: str, propagation: str) -> None:
        """Ask for an object's deletion."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        self.request("DELETE", self.path(obj, name), options)


def _dry(preview: bool) -> dict[str, str]:
    return {"dryRun": "All"} if preview else {}
