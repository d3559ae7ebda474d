"""Watches the cluster, keeps nginx's configuration true to it, and answers in the cluster."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from lightkube import ApiError, Client
from lightkube.models.core_v1 import EventSource, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.networking_v1 import IngressClassSpec
from lightkube.resources.core_v1 import Event, Secret, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.networking_v1 import Ingress, IngressClass
from lightkube.types import PatchType

from lab.changes import RETRY_SECONDS, Changes
from lab.ingress import rules
from lab.ingress.front import Front
from lab.ingress.nginx import Nginx

# A second pays for both: endpoints that come and go together make one reload.
_DEBOUNCE_SECONDS = 0.2
_RESYNC_SECONDS = 60

_EVERYWHERE: dict[str, Any] = {"namespace": "*"}
# Only these: no other secret of the cluster is any business of an ingress.
_TLS_SECRETS: dict[str, Any] = {**_EVERYWHERE, "fields": {"type": "kubernetes.io/tls"}}
_WATCHED: list[tuple[type[Any], dict[str, Any]]] = [
    (Ingress, _EVERYWHERE),
    (IngressClass, {}),
    (Service, _EVERYWHERE),
    (EndpointSlice, _EVERYWHERE),
    (Secret, _TLS_SECRETS),
]

log = logging.getLogger("ingress")


class Controller:
    """Serves the Ingresses of class ``nginx`` until it is told to end."""

    def __init__(self, client: Client, nginx: Nginx, front: Front, address: str) -> None:
        self._client = client
        self._nginx = nginx
        self._front = front
        self._address = address
        self._changes = Changes(client, _WATCHED)
        self._told: set[tuple[str, str]] = set()

    def run(self) -> None:
        """Serve for ever."""
        self._changes.start()
        trouble = ""
        while True:
            try:
                self._revive()
                self._follow()
                trouble = ""
                self._rest()
            except Exception as error:  # no bad moment may take down what is being served
                if str(error) != trouble:
                    trouble = str(error)
                    log.warning("trying again: %s: %s", type(error).__name__, trouble)
                time.sleep(RETRY_SECONDS)

    def _revive(self) -> None:
        if self._nginx.ensure_running():
            log.warning("nginx had died and was started again")

    def _rest(self) -> None:
        """Wait for a change, or until it is time to look anyway."""
        deadline = time.monotonic() + _RESYNC_SECONDS
        while not self._changes.seen.wait(timeout=1) and time.monotonic() < deadline:
            self._revive()
        time.sleep(_DEBOUNCE_SECONDS)
        self._changes.seen.clear()

    def _follow(self) -> None:
        """Bring nginx, and what the cluster knows of it, up to what the cluster wants."""
        cluster = rules.Cluster(*self._changes.read())
        if not any(item.metadata.name == "nginx" for item in cluster.classes):
            self._make_class()
        site = self._front.serve(cluster)
        for report in site.reports:
            self._tell(report)
        for ingress in site.served:
            self._publish(ingress)

    def _make_class(self) -> None:
        default = {"ingressclass.kubernetes.io/is-default-class": "true"}
        metadata = ObjectMeta(name="nginx", annotations=default)
        spec = IngressClassSpec(controller=rules.CONTROLLER)
        self._client.create(IngressClass(metadata=metadata, spec=spec))

    def _publish(self, ingress: rules.Ingress) -> None:
        """Say in the Ingress's status where it is served; Pulumi, for one, waits for that."""
        status = ingress.status and ingress.status.loadBalancer
        shown = [point.ip for point in (status and status.ingress) or []]
        if shown == [self._address]:
            return
        patch = {"status": {"loadBalancer": {"ingress": [{"ip": self._address}]}}}
        name, namespace = ingress.metadata.name, ingress.metadata.namespace
        with _gone_is_fine():
            self._client.patch(
                Ingress.Status, name, patch, namespace=namespace, patch_type=PatchType.MERGE
            )

    def _tell(self, report: rules.Report) -> None:
        """Log a report and attach it to its Ingress as an Event, once."""
        metadata = report.ingress.metadata
        if (metadata.uid, report.message) in self._told:
            return
        log.warning("%s: %s: %s", rules.name_of(report.ingress), report.reason, report.message)
        now = datetime.now(UTC)
        event = Event(
            metadata=ObjectMeta(generateName=f"{metadata.name}.", namespace=metadata.namespace),
            involvedObject=ObjectReference(
                apiVersion="networking.k8s.io/v1",
                kind="Ingress",
                name=metadata.name,
                namespace=metadata.namespace,
                uid=metadata.uid,
            ),
            type="Warning",
            reason=report.reason,
            message=report.message[:1024],
            source=EventSource(component="nginx-ingress-controller"),
            firstTimestamp=now,
            lastTimestamp=now,
            count=1,
        )
        with _gone_is_fine():
            self._client.create(event)
        self._told.add((metadata.uid, report.message))


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """Pass over an object, or its whole namespace, that went away since it was read."""
    try:
        yield
    except ApiError as error:
        if error.status.code not in (403, 404, 409):
            raise
